"""How good the recording is, counted while it is made: completeness, clocks, divergences, lags."""
