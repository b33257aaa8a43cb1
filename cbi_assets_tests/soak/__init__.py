"""A simulated year of mornings without a person: `make soak`."""
