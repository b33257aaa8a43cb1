-- Select the closes and volumes of roots' sessions, of outrights and continuous symbols.
-- One row per symbol, trade date and timeframe.
-- Reads market_data.futures_sessions_1d. Parameters: roots, until.
SELECT root, trade_date, symbol, contract, contract_key, close, volume, built_from
FROM `market_data.futures_sessions_1d`
WHERE root IN UNNEST(@roots) AND trade_date <= @until
ORDER BY symbol, trade_date, built_from
