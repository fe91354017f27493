"""Settlement: asking how a window ended, recording the venue's word, and proving the profit afterwards (X3)."""
