-- What each symbol's trade dates hold of the bars that others are made of, by load: how many, and
-- their volume. Outrights and continuous symbols of rank 0.
SELECT
  root, symbol, trade_date, load_id, COUNT(*) AS bars, SUM(volume) AS volume
FROM `$table`
WHERE root IN UNNEST(@roots)
  AND (kind = 'outright' OR (kind = 'continuous' AND ENDS_WITH(symbol, '.0')))
GROUP BY root, symbol, trade_date, load_id
