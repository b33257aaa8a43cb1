-- Count the published bars of each series by trade date and UTC day. A root's outrights are one
-- series (`outright`), each continuous symbol is another.
-- One row per dataset, root, series, trade date and UTC day.
-- Reads $table (a raw table). Parameters: roots, first, end.
SELECT dataset, root, series, trade_date, DATE(first_ts_event) AS utc_day, SUM(bars) AS bars
FROM (
  -- The date of every bar would cost DuckDB more than all the rest.
  SELECT
    dataset, root, IF(kind = 'outright', kind, symbol) AS series, trade_date,
    MIN(ts_event) AS first_ts_event, COUNT(*) AS bars
  FROM `$table`
  WHERE kind IN ('outright', 'continuous')
    AND root IN UNNEST(@roots) AND ts_event >= @first AND ts_event < @end
  GROUP BY dataset, root, series, trade_date, DIV(UNIX_MICROS(ts_event), 86400000000)
)
GROUP BY dataset, root, series, trade_date, utc_day
