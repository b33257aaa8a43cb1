-- Newest rows of daily_ml_matrix. One row per root and date.
-- Parameters: @roots, @newest (rows per root).
SELECT
  symbol AS root, data_date AS date, market_data.open, market_data.high, market_data.low,
  market_data.close, market_data.volume, pivots.P AS pivot, golden_zone.state AS zone_state,
  golden_zone.qualified_trigger AS triggered, pivots, fibonacci, golden_zone
FROM `features.daily_ml_matrix`
WHERE symbol IN UNNEST(@roots)
QUALIFY ROW_NUMBER() OVER (PARTITION BY symbol ORDER BY data_date DESC) <= @newest
ORDER BY symbol, data_date
