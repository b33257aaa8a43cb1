-- Rolls in the unadjusted continuous series: date and new contract. One row per roll.
-- Parameter: @roots.
SELECT root, date, active_contract AS contract
FROM `market_data.databento_futures_continuous_1d`
WHERE root IN UNNEST(@roots) AND method = 'none' AND roll_flag
ORDER BY root, date
