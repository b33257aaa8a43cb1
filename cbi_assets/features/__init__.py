"""Features of daily_ml_matrix, as pure functions on frames that know nothing of the future."""
