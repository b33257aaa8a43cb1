-- Count a root's bars and name the loads that published them. One row per symbol and trade date.
-- Reads $table. Pieces: bar_end, loads. Parameters: roots (one), first, last, first_ts, last_ts.
SELECT
  own.symbol, own.trade_date,
  COUNT(DISTINCT own.ts_event) AS bars,
  STRING_AGG(DISTINCT $loads, ' ' ORDER BY $loads) AS loads,
  MIN($bar_end) AS first_end, MAX($bar_end) AS last_end
FROM `$table` AS own
WHERE own.root IN UNNEST(@roots) AND own.kind IN ('outright', 'continuous')
  AND own.trade_date BETWEEN @first AND @last
  AND own.ts_event >= @first_ts AND own.ts_event < @last_ts
GROUP BY own.symbol, own.trade_date
