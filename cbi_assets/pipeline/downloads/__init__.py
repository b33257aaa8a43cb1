"""The download spec and its execution."""
