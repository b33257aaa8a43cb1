-- Select the range of the published bars of each root, as the books have it. One row per timeframe
-- and root. Reads ops.loads.
SELECT timeframe, root, MIN(first_ts_event) AS first_ts, MAX(last_ts_event) AS last_ts
FROM `ops.loads`
WHERE published > 0 AND root <> '' AND first_ts_event IS NOT NULL
GROUP BY timeframe, root
