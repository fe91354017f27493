"""What people are told while it is so, and no longer (O4)."""
