-- Newest trade date in the matrix. One row per root.
SELECT symbol AS root, MAX(data_date) AS data_date
FROM `features.daily_ml_matrix`
GROUP BY symbol
ORDER BY symbol
