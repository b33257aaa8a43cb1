-- Select symbols and start times that more than one bar has. One row per symbol and start time.
-- Reads $table. Parameter: roots.
SELECT root, symbol, ts_event, COUNT(*) AS copies, COUNT(*) OVER (PARTITION BY root) AS offenders
FROM `$table`
WHERE root IN UNNEST(@roots)
GROUP BY root, symbol, ts_event
HAVING COUNT(*) > 1
QUALIFY ROW_NUMBER() OVER (PARTITION BY root ORDER BY symbol, ts_event) <= 20
