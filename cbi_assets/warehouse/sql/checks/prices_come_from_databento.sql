-- Rows whose loads are not in the books, or that name another source than Databento.
SELECT
  matrix.symbol AS root, matrix.data_date, matrix.source.price_source AS price_source,
  COUNT(*) OVER (PARTITION BY matrix.symbol) AS offenders
FROM `$table` AS matrix
WHERE matrix.symbol IN UNNEST(@roots)
  AND (
    NOT STARTS_WITH(matrix.source.price_source, 'market_data.databento_futures_ohlcv_')
    OR matrix.source.price_source IS NULL
    OR EXISTS (
      SELECT 1 FROM UNNEST(matrix.source.load_ids) AS load_id
      WHERE load_id NOT IN (SELECT loads.load_id FROM `ops.loads` AS loads)
    )
  )
QUALIFY ROW_NUMBER() OVER (PARTITION BY matrix.symbol ORDER BY matrix.data_date) <= 20
