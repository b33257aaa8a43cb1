-- Select trade dates that more than one row of a root has. One row per root and trade date.
-- Reads $table. Parameter: roots.
SELECT symbol AS root, data_date, COUNT(*) AS copies, COUNT(*) OVER (PARTITION BY symbol) AS offenders
FROM `$table`
WHERE symbol IN UNNEST(@roots)
GROUP BY symbol, data_date
HAVING COUNT(*) > 1
QUALIFY ROW_NUMBER() OVER (PARTITION BY symbol ORDER BY data_date) <= 20
