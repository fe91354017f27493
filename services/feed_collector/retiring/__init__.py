"""Old ticks: bars, archive, and the end of their partition."""
