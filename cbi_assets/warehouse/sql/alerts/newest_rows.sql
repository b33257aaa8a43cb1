-- The newest trade date of each root in the matrix.
SELECT symbol AS root, MAX(data_date) AS data_date
FROM `features.daily_ml_matrix`
GROUP BY symbol
ORDER BY symbol
