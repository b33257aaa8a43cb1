-- Count quarantined or conflicting records. One row per timeframe and root.
-- Reads $table (ops.quarantined_bars or ops.bar_conflicts).
SELECT timeframe, root, COUNT(*) AS records
FROM `$table`
GROUP BY timeframe, root
ORDER BY timeframe, root
