-- Find bars that were to be removed. One row per root.
-- Reads $table, $chosen. Parameters: @timeframe, @first_ts, @last_ts.
SELECT bars.root, COUNT(*) AS bars_left
FROM `$table` AS bars
JOIN `$chosen` AS chosen
  ON bars.source_file_id = chosen.source_file_id AND bars.root = chosen.root
WHERE chosen.timeframe = @timeframe
  AND bars.ts_event BETWEEN @first_ts AND @last_ts
GROUP BY bars.root
