"""What is built from the raw tables."""
