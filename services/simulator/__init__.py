"""simulator: the fake world. Exchange, feeds, relayer and chain on their real wire protocols, in one process.

Decides   what happens outside: which windows exist, who makes their markets, what a feed says, who wins.
Reads     recorded markets (the sample of polymarket-backtest, or the sets of ONEBOOK_RECORDINGS) or its generator.
Writes    nothing but its own memory and the ready file.
Serves    CLOB REST and its market and user channels, Gamma, Data API v2, relayer, JSON-RPC, PolyBolt, RTDS, Binance,
          Pyth, and /_sim: accounts and their restrictions, the truth to compare books with, windows, faults (by the
          names of fault_kinds), modes, ticks, stop.
Follows   docs.polymarket.com as of October 2026 (CLOB V2, Data API v2, PolyBolt), the official SDK polymarket-client
          0.14.0, and captures of the live venue; developers.binance.com.
Ports     with PORT=n: clob n, gamma n+1, data n+2, relayer n+3, rpc n+4, polybolt n+5, binance n+6, control n+7,
          rtds n+8, pyth n+9; with PORT=0 the system chooses, and the ready file says.
Never     shares code with the client it stands in for: nothing of shared.domain, shared.venue or the SDK.

Money is counted in micro-units. Cash of a match is price times shares rounded down to the micro-dollar, per fill;
a FOK/FAK BUY that spends its budget gets one micro-share less than the quotient, as captured answers show.
"""
