"""How a process is seen: logs, metrics, health."""
