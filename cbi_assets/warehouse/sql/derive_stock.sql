-- What a derived table holds of each symbol and trade date, by the loads that its bars rest on: on
-- nearly every trade date that is one list, so that few lists are to be put together afterwards.
SELECT
  root, symbol, trade_date, built_from, ARRAY_TO_STRING(load_ids, ' ') AS loads,
  SUM(volume) AS volume
FROM `$derived`
WHERE root IN UNNEST(@roots)
GROUP BY root, symbol, trade_date, built_from, loads
