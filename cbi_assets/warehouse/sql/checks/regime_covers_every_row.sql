-- Select rows that are in no regime, not even in the baseline. Reads $table. Parameter: roots.
SELECT symbol AS root, data_date, COUNT(*) OVER (PARTITION BY symbol) AS offenders
FROM `$table`
WHERE symbol IN UNNEST(@roots) AND regime_name IS NULL
QUALIFY ROW_NUMBER() OVER (PARTITION BY symbol ORDER BY data_date) <= 20
