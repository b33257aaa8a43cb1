-- Rows that share root and trade date with another one, or that lack either.
SELECT symbol AS root, data_date, COUNT(*) AS copies, COUNT(*) OVER (PARTITION BY symbol) AS offenders
FROM `$table`
WHERE symbol IN UNNEST(@roots)
GROUP BY symbol, data_date
HAVING COUNT(*) > 1
QUALIFY ROW_NUMBER() OVER (PARTITION BY symbol ORDER BY data_date) <= 20
