-- Return the number of derived bars of the chosen symbols and trade dates if it is not @rows.
-- Reads $table, $chosen. Parameters: @first_ts, @last_ts, @roots, @rows.
SELECT COUNT(*) AS row_count
FROM `$table` AS bars
WHERE bars.ts_event BETWEEN @first_ts AND @last_ts
  AND bars.root IN UNNEST(@roots)
  AND EXISTS (
  SELECT 1 FROM `$chosen` AS chosen
  WHERE chosen.symbol = bars.symbol AND chosen.trade_date = bars.trade_date
)
HAVING COUNT(*) <> @rows
