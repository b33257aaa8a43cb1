"""Sessions, derived bars, rolls, continuous series and the matrix, from the raw tables."""
