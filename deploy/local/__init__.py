"""The deployment on one machine, without containers."""
