-- Bars that each load published, and the newest UTC day it read. One row per load, root and timeframe.
SELECT
  load_id, root, timeframe, MIN(loaded_at) AS loaded_at, SUM(published) AS published,
  CAST(MAX(last_ts_event) AS DATE) AS newest
FROM `ops.loads`
WHERE root != '' AND last_ts_event IS NOT NULL
GROUP BY load_id, root, timeframe
ORDER BY loaded_at, load_id, root, timeframe
