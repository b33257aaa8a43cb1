-- Count the records of $table (quarantined or conflicting) by timeframe and root.
SELECT timeframe, root, COUNT(*) AS records
FROM `$table`
GROUP BY timeframe, root
ORDER BY timeframe, root
