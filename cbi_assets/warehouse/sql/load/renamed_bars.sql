-- Count the continuous bars whose contract differs from the one that $names gives their instrument.
-- One row per root and file.
-- Reads $table, $names. Parameters: @roots, @first_ts, @last_ts.
SELECT bars.root, bars.source_file_id, COUNT(*) AS row_count
FROM `$table` AS bars
JOIN `$names` AS names
  ON names.dataset = bars.dataset AND names.root = bars.root
    AND names.instrument_id = bars.instrument_id
WHERE bars.root IN UNNEST(@roots) AND bars.ts_event BETWEEN @first_ts AND @last_ts
  AND bars.kind = 'continuous'
  AND DATE(bars.ts_event) >= names.from_date AND DATE(bars.ts_event) < names.to_date
  AND COALESCE(bars.contract, '') <> COALESCE(names.contract, '')
GROUP BY bars.root, bars.source_file_id
