"""The rules of futures markets as pure functions on frames: no clock, no environment, no files."""
