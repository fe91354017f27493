"""The Data API's view of what we hold, a minute late: it is told where it differs, and proves nothing (R3, D19)."""
