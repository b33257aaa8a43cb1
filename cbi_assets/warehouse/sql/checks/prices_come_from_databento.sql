-- Select rows with a load that the ledger does not know, or with a price source other than
-- Databento's tables. Each list of loads is split once, however many rows have it.
-- Reads $table, ops.loads. Parameter: roots.
WITH lists AS (
  SELECT DISTINCT ARRAY_TO_STRING(matrix.source.load_ids, ' ') AS loads
  FROM `$table` AS matrix
  WHERE matrix.symbol IN UNNEST(@roots)
),
split_lists AS (
  SELECT lists.loads, SPLIT(lists.loads, ' ') AS ids
  FROM lists
),
unknown AS (
  SELECT DISTINCT split_lists.loads
  FROM split_lists
  CROSS JOIN UNNEST(split_lists.ids) AS used_id
  LEFT JOIN (SELECT DISTINCT loads.load_id FROM `ops.loads` AS loads) AS known
    ON known.load_id = used_id
  WHERE known.load_id IS NULL
)
SELECT
  matrix.symbol AS root, matrix.data_date, matrix.source.price_source AS price_source,
  COUNT(*) OVER (PARTITION BY matrix.symbol) AS offenders
FROM `$table` AS matrix
LEFT JOIN unknown ON unknown.loads = ARRAY_TO_STRING(matrix.source.load_ids, ' ')
WHERE matrix.symbol IN UNNEST(@roots)
  AND (
    matrix.source.price_source IS NULL
    OR NOT STARTS_WITH(matrix.source.price_source, 'market_data.databento_futures_ohlcv_')
    OR unknown.loads IS NOT NULL
  )
QUALIFY ROW_NUMBER() OVER (PARTITION BY matrix.symbol ORDER BY matrix.data_date) <= 20
