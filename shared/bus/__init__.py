"""LISTEN/NOTIFY as wake-up calls: a notification says "look", the tables say what there is (D6)."""
