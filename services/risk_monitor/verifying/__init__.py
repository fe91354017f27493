"""What is held, compared with what the venue shows, every two seconds and after each fill (R3)."""
