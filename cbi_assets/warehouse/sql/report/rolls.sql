-- The dates on which the unadjusted continuous series goes over to another contract.
SELECT root, date, active_contract AS contract
FROM `market_data.databento_futures_continuous_1d`
WHERE root IN UNNEST(@roots) AND method = 'none' AND roll_flag
ORDER BY root, date
