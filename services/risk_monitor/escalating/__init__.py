"""What follows while a breaker stays open (R2)."""
