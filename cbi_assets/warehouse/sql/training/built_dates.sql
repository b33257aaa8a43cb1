-- Summarize what the rows of a training table were made from. One row per trade date of bars.
-- Reads $table. Parameters: roots (one), first, last, first_ts, last_ts.
SELECT
  trade_date,
  COUNT(*) AS bars,
  STRING_AGG(DISTINCT bar_load_ids, ' ' ORDER BY bar_load_ids) AS loads,
  MIN(data_date) AS first_row, MAX(data_date) AS last_row,
  MIN(ingestion_ts) AS first_written, MAX(ingestion_ts) AS last_written,
  MAX(horizon) AS horizon, MIN(bar_end) AS first_end, MAX(bar_end) AS last_end,
  COUNT(target) AS targets,
  COUNTIF(target_missing = 'not yet') AS not_yet,
  COUNTIF(STARTS_WITH(target_missing, 'roll step unknown')) AS roll_unknown,
  COUNTIF(STARTS_WITH(target_missing, 'gap') OR STARTS_WITH(target_missing, 'session break')) AS gaps,
  COUNTIF(STARTS_WITH(target_missing, 'price not positive')) AS other_missing
FROM `$table`
WHERE symbol IN UNNEST(@roots) AND trade_date BETWEEN @first AND @last
  AND bar_end >= @first_ts AND bar_end < @last_ts
GROUP BY trade_date
