"""The drive and the raw tables."""
