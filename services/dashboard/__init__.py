"""dashboard: shows what trades now, from the Book and from nothing else.

Decides   nothing.
Reads     windows, books, feeds, signals, orders, positions, gate, ledger, audit events, heartbeats; gaps, completeness,
          clocks and what else says how good the recording is.
Calls     beat.
Listens   to nobody yet: its page asks again every second, and says how old each figure is.
Never     touches a trading row, holds a credential, or shows something old as if it were now.
"""
