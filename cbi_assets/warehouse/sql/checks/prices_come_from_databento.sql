-- Rows whose loads are not in the books, or that name another source than Databento.
WITH unknown AS (
  SELECT DISTINCT matrix.symbol, matrix.data_date
  FROM `$table` AS matrix
  CROSS JOIN UNNEST(matrix.source.load_ids) AS used_id
  LEFT JOIN (SELECT DISTINCT loads.load_id FROM `ops.loads` AS loads) AS known
    ON known.load_id = used_id
  WHERE matrix.symbol IN UNNEST(@roots) AND known.load_id IS NULL
)
SELECT
  matrix.symbol AS root, matrix.data_date, matrix.source.price_source AS price_source,
  COUNT(*) OVER (PARTITION BY matrix.symbol) AS offenders
FROM `$table` AS matrix
LEFT JOIN unknown ON unknown.symbol = matrix.symbol AND unknown.data_date = matrix.data_date
WHERE matrix.symbol IN UNNEST(@roots)
  AND (
    matrix.source.price_source IS NULL
    OR NOT STARTS_WITH(matrix.source.price_source, 'market_data.databento_futures_ohlcv_')
    OR unknown.symbol IS NOT NULL
  )
QUALIFY ROW_NUMBER() OVER (PARTITION BY matrix.symbol ORDER BY matrix.data_date) <= 20
