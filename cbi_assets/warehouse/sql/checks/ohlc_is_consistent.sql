-- Select bars whose open or close is outside low to high, or that lack a price or volume.
-- Reads $table. Parameter: roots.
SELECT
  root, symbol, ts_event, open, high, low, close, volume,
  COUNT(*) OVER (PARTITION BY root) AS offenders
FROM `$table`
WHERE root IN UNNEST(@roots)
  AND (
    open IS NULL OR high IS NULL OR low IS NULL OR close IS NULL
    OR volume < 0 OR low > open OR low > close OR high < open OR high < close
  )
QUALIFY ROW_NUMBER() OVER (PARTITION BY root ORDER BY symbol, ts_event) <= 20
