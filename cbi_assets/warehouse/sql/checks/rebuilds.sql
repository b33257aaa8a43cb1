-- Compare bars with those aggregated from the next finer timeframe, on the UTC days for which a
-- symbol has both. One row per mismatched bar; without one, one row per root and month. `offenders`
-- and `compared`, all bars, are counted by root and month.
-- Reads $table, $finer; $step is DAY or HOUR. Parameters: roots, first, end.
WITH rebuilt AS (
  SELECT
    symbol, TIMESTAMP_TRUNC(ts_event, $step) AS start,
    ANY_VALUE(open HAVING MIN ts_event) AS open, MAX(high) AS high, MIN(low) AS low,
    ANY_VALUE(close HAVING MAX ts_event) AS close, SUM(volume) AS volume, MIN(root) AS root
  FROM `$finer`
  WHERE root IN UNNEST(@roots) AND ts_event >= @first AND ts_event < @end
  GROUP BY symbol, TIMESTAMP_TRUNC(ts_event, $step)
),
stated AS (
  SELECT root, symbol, ts_event AS start, open, high, low, close, volume
  FROM `$table`
  WHERE root IN UNNEST(@roots) AND ts_event >= @first AND ts_event < @end
),
days AS (
  SELECT DISTINCT stated.symbol, DATE(stated.start) AS utc_day
  FROM stated
  JOIN (SELECT DISTINCT symbol, DATE(start) AS utc_day FROM rebuilt) AS finer
    ON finer.symbol = stated.symbol AND finer.utc_day = DATE(stated.start)
),
stated_there AS (
  SELECT stated.* FROM stated
  JOIN days ON days.symbol = stated.symbol AND days.utc_day = DATE(stated.start)
),
rebuilt_there AS (
  SELECT rebuilt.* FROM rebuilt
  JOIN days ON days.symbol = rebuilt.symbol AND days.utc_day = DATE(rebuilt.start)
),
pairs AS (
  SELECT
    COALESCE(s.root, r.root) AS root, COALESCE(s.symbol, r.symbol) AS symbol,
    COALESCE(s.start, r.start) AS ts_event,
    s.open AS stated_open, r.open AS rebuilt_open, s.high AS stated_high, r.high AS rebuilt_high,
    s.low AS stated_low, r.low AS rebuilt_low, s.close AS stated_close, r.close AS rebuilt_close,
    s.volume AS stated_volume, r.volume AS rebuilt_volume,
    CASE
      WHEN s.open = r.open AND s.high = r.high AND s.low = r.low AND s.close = r.close
        AND s.volume = r.volume THEN 0
      ELSE 1
    END AS differs
  FROM stated_there AS s
  FULL OUTER JOIN rebuilt_there AS r ON r.symbol = s.symbol AND r.start = s.start
),
by_month AS (
  SELECT pairs.*, DATE_TRUNC(DATE(ts_event), MONTH) AS month FROM pairs
),
ranked AS (
  SELECT
    by_month.*,
    SUM(differs) OVER (PARTITION BY root, month) AS offenders,
    COUNT(*) OVER (PARTITION BY root, month) AS compared,
    ROW_NUMBER() OVER (PARTITION BY root, month ORDER BY differs DESC, ts_event, symbol) AS place
  FROM by_month
)
SELECT
  root, month, symbol, ts_event, stated_open, rebuilt_open, stated_high, rebuilt_high, stated_low,
  rebuilt_low, stated_close, rebuilt_close, stated_volume, rebuilt_volume, offenders, compared
FROM ranked
WHERE place <= 20 AND (differs = 1 OR place = 1)
ORDER BY root, month, place
