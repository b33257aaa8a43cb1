"""Features of daily_ml_matrix, as pure functions on frames without look-ahead."""
