"""What a container runs besides a service."""
