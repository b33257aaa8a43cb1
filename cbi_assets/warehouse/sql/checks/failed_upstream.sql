-- Select the raw partitions that failed an ERROR check when last checked. Parameters: none.
SELECT partition_key, check_name
FROM `ops.check_results`
WHERE NOT passed AND severity = 'ERROR' AND STARTS_WITH(table_id, 'market_data.databento_futures_ohlcv_')
ORDER BY partition_key, check_name
