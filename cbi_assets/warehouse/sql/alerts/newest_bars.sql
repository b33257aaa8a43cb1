-- Newest published bar start (UTC), from ops.loads, so that no raw table is read.
-- One row per timeframe and root. Parameter: @now, later starts are ignored.
SELECT timeframe, root, MAX(last_ts_event) AS last_ts_event
FROM `ops.loads`
WHERE published > 0 AND last_ts_event <= @now
GROUP BY timeframe, root
ORDER BY timeframe, root
