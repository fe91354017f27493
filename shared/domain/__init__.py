"""The vocabulary and the rules: pure, standard library only, no clock, no I/O.

window      one up/down market of one instrument, from its open to the venue's resolution
signal      what a strategy says, before anything has looked at risk
entry       the right of one strategy to be in one window once, per account and mode
order       one signed intent; its id is its hash, so it has a name before it exists at the venue
fill        one venue trade of one order, from MATCHED to CONFIRMED or FAILED
position    what an entry's fills add up to, until it is sold or paid out
gate        every check an entry passes, in one fixed order
breaker     CLOSED trades; OPEN takes no entry until an operator says so
outcome     Success, KnownFailure or Unknown: the three answers of the outside world
"""
