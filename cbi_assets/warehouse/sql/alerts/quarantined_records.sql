-- Count quarantined records, except those that a person replaced by a later version of their day.
-- One row per timeframe and root.
SELECT timeframe, root, COUNT(*) AS records
FROM `ops.quarantined_bars`
WHERE NOT STARTS_WITH(reason, 'superseded by job ')
GROUP BY timeframe, root
ORDER BY timeframe, root
