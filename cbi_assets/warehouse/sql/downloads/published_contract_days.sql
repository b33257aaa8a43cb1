-- List the days on which each contract has published bars.
-- One row per contract, trade date and UTC day. Reads $table (a raw table). Parameter: @roots.
SELECT DISTINCT contract, trade_date, DATE(ts_event) AS utc_day
FROM `$table`
WHERE root IN UNNEST(@roots) AND kind = 'outright'
