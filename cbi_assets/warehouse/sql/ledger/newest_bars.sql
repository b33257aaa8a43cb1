-- Newest published bar start and newest load that published bars, UTC, from ops.loads, so that no raw
-- table is read. One row per timeframe and root. Parameter: @now, later starts are ignored.
SELECT
  timeframe, root,
  MAX(IF(last_ts_event <= @now, last_ts_event, NULL)) AS last_ts_event,
  MAX(loaded_at) AS loaded_at
FROM `ops.loads`
WHERE published > 0
GROUP BY timeframe, root
ORDER BY timeframe, root
