-- Profile the bars of each root's months: what the checks of a whole table need, and a number that
-- differs if a time, price, volume or trade date does. One row per root, month, series, contract,
-- file, load and trade date. Volumes and prices may be as large as an INT64: they are reduced first.
-- Reads $table. Parameters: roots, first, end.
SELECT
  root, DATE_TRUNC(DATE(ts_event), MONTH) AS month, symbol, kind, contract, instrument_id, dataset,
  source_file_id, load_id, trade_date, COUNT(*) AS bars,
  MIN(ts_event) AS first_ts_event, MAX(ts_event) AS last_ts_event,
  CAST(SUM(MOD(
    UNIX_MICROS(ts_event) + 3 * MOD(volume, 1000003)
    + CASE WHEN ABS(open) < 9e9 THEN 5 * MOD(CAST(ROUND(open * 1e9) AS INT64), 1000003) ELSE 0 END
    + CASE WHEN ABS(high) < 9e9 THEN 7 * MOD(CAST(ROUND(high * 1e9) AS INT64), 1000003) ELSE 0 END,
    1000003
  ) * MOD(
    DIV(UNIX_MICROS(ts_event), 60000000) + 11 * MOD(volume, 1000033)
    + CASE WHEN ABS(low) < 9e9 THEN 3 * MOD(CAST(ROUND(low * 1e9) AS INT64), 1000033) ELSE 0 END
    + CASE WHEN ABS(close) < 9e9 THEN 5 * MOD(CAST(ROUND(close * 1e9) AS INT64), 1000033) ELSE 0 END,
    1000033
  )) AS INT64) AS mixed
FROM `$table`
WHERE root IN UNNEST(@roots) AND ts_event >= @first AND ts_event < @end
GROUP BY
  root, DATE_TRUNC(DATE(ts_event), MONTH), symbol, kind, contract, instrument_id, dataset,
  source_file_id, load_id, trade_date
