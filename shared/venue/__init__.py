"""venue: the exchange and the price feeds as seen from our services.

Faces     reading (public and account reads), cancelling (credentials, no key), trading and redeeming (execution only),
          paper (the other executor behind the same protocol), the feeds (market_feed, user_feed, polybolt, binance).
Values    listings, accounts, events, executor, urls, credentials, refusals: what the faces take and give.
Inside    http, writes, wire, parse*, outcome, signing, order_struct: nobody else imports them.
Promise   a write is never repeated here; a failed read is an error, never an empty list; what the venue says and we do
          not know is refused by name.
"""
