"""The waiting: lead.py holds the lock, and under it entries, exits, confirmations, redemptions and readings go on."""
