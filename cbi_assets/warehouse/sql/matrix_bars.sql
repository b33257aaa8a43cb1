-- What the matrix is built from: outrights and the vendor's continuous symbols of rank 0.
SELECT
  root, symbol, contract, instrument_id, trade_date, ts_event, open, high, low, close, volume,
  load_id
FROM `$table`
WHERE root IN UNNEST(@roots)
  AND (kind = 'outright' OR (kind = 'continuous' AND ENDS_WITH(symbol, '.0')))
