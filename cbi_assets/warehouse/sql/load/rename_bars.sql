-- Give continuous bars the contract that $names gives their instrument; NULL if it gives none.
-- Tables: $table, $names. Parameters: @roots, @first_ts, @last_ts.
UPDATE `$table` AS bars
SET contract = names.contract
FROM `$names` AS names
WHERE bars.root IN UNNEST(@roots) AND bars.ts_event BETWEEN @first_ts AND @last_ts
  AND bars.kind = 'continuous'
  AND names.dataset = bars.dataset AND names.root = bars.root
  AND names.instrument_id = bars.instrument_id
  AND DATE(bars.ts_event) >= names.from_date AND DATE(bars.ts_event) < names.to_date
  AND COALESCE(bars.contract, '') <> COALESCE(names.contract, '')
