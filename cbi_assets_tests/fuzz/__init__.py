"""Load hundreds of mutated files and compare each outcome with what the bytes prove."""
