"""The staging tables."""
