-- Select what a training build needs of the matrix' rows. One row per root and trade date.
-- Reads features.daily_ml_matrix. Parameter: roots.
SELECT
  symbol, data_date, timestamp, ingestion_ts,
  source.price_source AS price_source
FROM `features.daily_ml_matrix`
WHERE symbol IN UNNEST(@roots)
ORDER BY symbol, data_date
