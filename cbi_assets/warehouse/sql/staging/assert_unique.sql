-- Find keys that the observations or the bridge contain more than once. One row per key.
SELECT series_id, CAST(reference_date AS STRING) AS day, COUNT(*) AS copies
FROM `raw_intelligence.macro_observations`
GROUP BY series_id, reference_date, available_at
HAVING COUNT(*) > 1
UNION ALL
SELECT root, CAST(date AS STRING) AS day, COUNT(*) AS copies
FROM `market_data.yahoo_zl_historical_2000_2010`
GROUP BY root, date
HAVING COUNT(*) > 1
