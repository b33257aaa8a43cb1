"""The training tables."""
