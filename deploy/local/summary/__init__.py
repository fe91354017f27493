"""What a demo ends with: what the Book says, set against what the fake venue knows."""
