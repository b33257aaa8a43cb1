-- Select the instruments of continuous bars whose contract is unknown, and when they have such bars.
-- One row per root, dataset and instrument. Reads $table. Parameter: @roots.
SELECT root, dataset, instrument_id, MIN(ts_event) AS first_ts, MAX(ts_event) AS last_ts
FROM `$table`
WHERE root IN UNNEST(@roots) AND kind = 'continuous' AND contract IS NULL
GROUP BY root, dataset, instrument_id
