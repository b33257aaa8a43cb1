-- What a raw table holds of each symbol and trade date, by load: outrights and continuous symbols of
-- rank 0.
SELECT
  root, symbol, trade_date, '$timeframe' AS built_from, load_id,
  COUNT(*) AS bars, SUM(volume) AS volume, DATE(MAX(ts_event)) >= trade_date AS reaches_its_day
FROM `$table`
WHERE root IN UNNEST(@roots)
  AND trade_date <= @until
  AND (kind = 'outright' OR (kind = 'continuous' AND ENDS_WITH(symbol, '.0')))
GROUP BY root, symbol, trade_date, load_id
