"""explain ORDER: the chain of one trade, from the ticks it was decided on to its profit or loss (S4)."""
