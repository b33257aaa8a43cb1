-- Select the closes and volumes of roots' sessions, of outrights and continuous symbols.
-- One row per symbol, trade date and timeframe.
-- Reads market_data.futures_sessions_1d. Parameter: roots.
SELECT root, trade_date, symbol, contract, contract_key, close, volume, built_from
FROM `market_data.futures_sessions_1d`
WHERE root IN UNNEST(@roots)
ORDER BY symbol, trade_date, built_from
