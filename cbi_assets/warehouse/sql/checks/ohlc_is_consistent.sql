-- Select bars whose open or close is outside low to high, or that lack a price or volume. One row
-- per bar; `offenders` counts those of the root's month.
-- Reads $table. Parameters: roots, first, end.
SELECT
  root, DATE_TRUNC(DATE(ts_event), MONTH) AS month, symbol, ts_event, open, high, low, close, volume,
  COUNT(*) OVER (PARTITION BY root, DATE_TRUNC(DATE(ts_event), MONTH)) AS offenders
FROM `$table`
WHERE root IN UNNEST(@roots) AND ts_event >= @first AND ts_event < @end
  AND (
    open IS NULL OR high IS NULL OR low IS NULL OR close IS NULL
    OR volume < 0 OR low > open OR low > close OR high < open OR high < close
  )
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY root, DATE_TRUNC(DATE(ts_event), MONTH) ORDER BY symbol, ts_event
) <= 20
