"""What is true of futures, as pure functions on frames: no clock, no environment, no files."""
