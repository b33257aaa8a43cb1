-- Newest date and number of rows of each root in daily_ml_matrix. One row per root.
SELECT symbol AS root, MAX(data_date) AS last_date, COUNT(*) AS row_count
FROM `features.daily_ml_matrix`
GROUP BY symbol
ORDER BY root
