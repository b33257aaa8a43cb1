-- Count the published 1d bars of each root's contracts and spreads, and their trade dates.
-- One row per root. Reads $table (the raw 1d table). Parameter: @roots.
SELECT root, COUNT(*) AS bars, COUNT(DISTINCT trade_date) AS trade_dates
FROM `$table`
WHERE root IN UNNEST(@roots) AND kind IN ('outright', 'spread')
GROUP BY root
