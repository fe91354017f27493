"""The ten runtime assertions on real rows (R10)."""
