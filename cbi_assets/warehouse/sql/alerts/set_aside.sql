-- How many records of each timeframe and root wait for somebody to look at them.
SELECT timeframe, root, COUNT(*) AS waiting
FROM `$table`
GROUP BY timeframe, root
ORDER BY timeframe, root
