-- Sum the 1d bars of each contract and spread by trade date.
-- One row per root, symbol and trade date. Reads $table (the raw 1d table). Parameter: @roots.
SELECT
  root, symbol, kind, contract, trade_date, SUM(volume) AS volume, MAX(close) AS close
FROM `$table`
WHERE root IN UNNEST(@roots) AND kind IN ('outright', 'spread')
GROUP BY root, symbol, kind, contract, trade_date
