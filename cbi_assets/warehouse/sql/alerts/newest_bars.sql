-- The newest bar of each timeframe and root by the books: the raw tables need not be read for it.
SELECT timeframe, root, MAX(last_ts_event) AS last_ts_event
FROM `ops.loads`
WHERE published > 0 AND last_ts_event <= @now
GROUP BY timeframe, root
ORDER BY timeframe, root
