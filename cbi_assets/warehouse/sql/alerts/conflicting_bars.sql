-- Count conflicting bars. One row per timeframe and root.
SELECT timeframe, root, COUNT(*) AS records
FROM `ops.bar_conflicts`
GROUP BY timeframe, root
ORDER BY timeframe, root
