-- Select bars whose close is less than two thirds or more than one and a half times that of the
-- bar before, at most 31 days earlier, of the same contract or continuous symbol. One row per bar.
-- Reads $table. Parameter: roots.
WITH steps AS (
  SELECT
    root, symbol, ts_event, close,
    LAG(close) OVER (PARTITION BY root, COALESCE(contract, symbol) ORDER BY ts_event) AS previous_close,
    LAG(ts_event) OVER (PARTITION BY root, COALESCE(contract, symbol) ORDER BY ts_event) AS previous_ts
  FROM `$table`
  WHERE root IN UNNEST(@roots) AND kind IN ('outright', 'continuous')
)
SELECT
  root, symbol, ts_event, close, previous_close, previous_ts,
  COUNT(*) OVER (PARTITION BY root) AS offenders
FROM steps
WHERE TIMESTAMP_DIFF(ts_event, previous_ts, DAY) <= 31
  AND (
    3 * close * SIGN(previous_close) < 2 * ABS(previous_close)
    OR 2 * close * SIGN(previous_close) > 3 * ABS(previous_close)
  )
QUALIFY ROW_NUMBER() OVER (PARTITION BY root ORDER BY symbol, ts_event) <= 20
