-- The newest bar start of each timeframe and root up to @now, from ops.loads: no raw table is read.
SELECT timeframe, root, MAX(last_ts_event) AS last_ts_event
FROM `ops.loads`
WHERE published > 0 AND last_ts_event <= @now
GROUP BY timeframe, root
ORDER BY timeframe, root
