-- Profile the bars of each root's days: what the checks of a whole table and the plots need, and two
-- numbers that differ if any value of any bar does. One row per root, UTC day, symbol, kind, file and
-- trade date. `month` is that of the bars' start.
-- Reads $table. Parameters: roots, first, end.
SELECT
  root, DATE_TRUNC(DATE(first_ts_event), MONTH) AS month, symbol, kind, dataset, source_file_id,
  trade_date, bars, first_ts_event, last_ts_event, close, volume, xor_of_hashes, sum_of_hashes
FROM (
  SELECT
    root, symbol, kind, dataset, source_file_id, trade_date, COUNT(*) AS bars,
    MIN(ts_event) AS first_ts_event, MAX(ts_event) AS last_ts_event,
    ANY_VALUE(close HAVING MAX ts_event) AS close, SUM(CAST(volume AS FLOAT64)) AS volume,
    BIT_XOR(row_hash) AS xor_of_hashes, SUM(MOD(row_hash, 2147483647)) AS sum_of_hashes
  FROM (
    SELECT
      root, symbol, kind, dataset, source_file_id, trade_date, ts_event, close, volume,
      FARM_FINGERPRINT(TO_JSON_STRING(bars)) AS row_hash
    FROM `$table` AS bars
    WHERE root IN UNNEST(@roots) AND ts_event >= @first AND ts_event < @end
  )
  GROUP BY
    root, symbol, kind, dataset, source_file_id, trade_date, DIV(UNIX_MICROS(ts_event), 86400000000)
)
