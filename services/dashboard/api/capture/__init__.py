"""How good the recording is: what a person must see of every way in which capture fails (FM1 to FM8, FM13, FM25)."""
