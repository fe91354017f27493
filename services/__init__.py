"""The programs of Onebook: one folder, one process; services never import one another."""
