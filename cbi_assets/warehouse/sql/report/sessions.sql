-- The newest rows of the matrix of some roots.
SELECT symbol, data_date, market_data, pivots, fibonacci, golden_zone
FROM `features.daily_ml_matrix`
WHERE symbol IN UNNEST(@roots)
QUALIFY ROW_NUMBER() OVER (PARTITION BY symbol ORDER BY data_date DESC) <= @newest
ORDER BY symbol, data_date
