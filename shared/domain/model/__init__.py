"""A pure model of the Book's lifecycle functions: what each promises, in Python, to judge the SQL by (D15).

The model keeps only facts: intentions, answers, trades, payouts. Whatever the database keeps up to date step by step
(balances, counters, exposure, reservations) is computed here anew from the facts: a step that forgets something shows.
"""
