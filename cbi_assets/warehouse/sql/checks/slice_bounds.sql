-- Select the first and last bar of each root. Reads $table. Parameters: none.
SELECT root, MIN(ts_event) AS first_ts, MAX(ts_event) AS last_ts
FROM `$table`
GROUP BY root
ORDER BY root
