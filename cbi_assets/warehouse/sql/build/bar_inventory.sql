-- Count a raw table's bars for each session, by load: outrights and continuous symbols of rank 0.
-- One row per symbol, trade date and load; volume in contracts, `contract` of the last bar. `reaches_its_day` is FALSE if all
-- bars are of the evening before the trade date.
-- Reads $timeframe, $table. Parameters: @roots, @first, @last, @first_ts, @last_ts.
SELECT
  root, symbol, trade_date, '$timeframe' AS built_from, load_id,
  MIN(kind) AS kind, ANY_VALUE(contract HAVING MAX ts_event) AS contract, MAX(ts_event) AS last_ts,
  COUNT(*) AS bars, SUM(volume) AS volume, DATE(MAX(ts_event)) >= trade_date AS reaches_its_day
FROM `$table`
WHERE root IN UNNEST(@roots)
  AND trade_date BETWEEN @first AND @last
  AND ts_event BETWEEN @first_ts AND @last_ts
  AND (kind = 'outright' OR (kind = 'continuous' AND ENDS_WITH(symbol, '.0')))
GROUP BY root, symbol, trade_date, load_id
