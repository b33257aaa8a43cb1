-- What the matrix holds of each root.
SELECT symbol AS root, COUNT(*) AS held, MIN(data_date) AS first_date, MAX(data_date) AS last_date
FROM `features.daily_ml_matrix`
GROUP BY symbol
ORDER BY symbol
