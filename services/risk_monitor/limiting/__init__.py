"""What a session, a day and each strategy have lost, and what that stops (R8)."""
