-- Return the number of chosen sessions whose derived bars have another volume than the bars that they
-- were derived from, if there are any, and the first symbol of them.
-- Reads $table, $chosen. Parameters: @first_ts, @last_ts, @roots.
SELECT '$table' AS table_id, COUNT(*) AS sessions, MIN(chosen.symbol) AS symbol
FROM `$chosen` AS chosen
LEFT JOIN (
  SELECT symbol, trade_date, SUM(volume) AS volume
  FROM `$table`
  WHERE ts_event BETWEEN @first_ts AND @last_ts AND root IN UNNEST(@roots)
  GROUP BY symbol, trade_date
) AS derived ON derived.symbol = chosen.symbol AND derived.trade_date = chosen.trade_date
WHERE COALESCE(derived.volume, 0) <> chosen.volume
HAVING COUNT(*) > 0
