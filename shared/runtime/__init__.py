"""How a process lives: its clock, its settings, its loops, its end."""
