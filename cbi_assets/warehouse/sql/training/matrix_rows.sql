-- Select what a training build needs of the matrix' rows. One row per trade date.
-- Reads features.daily_ml_matrix. Parameter: root.
SELECT
  data_date, timestamp, ingestion_ts,
  source.price_source AS price_source
FROM `features.daily_ml_matrix`
WHERE symbol = @root
ORDER BY data_date
