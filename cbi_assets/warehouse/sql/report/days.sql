-- Count the bars of one raw table by kind of symbol, and add up their volume. One row per root and
-- trade date. Anonymous bars are those of a continuous symbol whose contract is unknown.
-- session_bars are those that can make a session of the trade date: outrights and first continuous
-- symbols, from the date's own UTC day on, since its evening before is not enough.
-- Reads $table, the table of $timeframe bars.
SELECT
  root, '$timeframe' AS timeframe, trade_date, COUNT(*) AS bars, SUM(volume) AS volume,
  COUNTIF(kind = 'outright') AS outrights,
  COUNTIF(kind = 'spread') AS spreads,
  COUNTIF(kind = 'continuous') AS continuous,
  COUNTIF(kind = 'continuous' AND contract IS NULL) AS anonymous,
  COUNTIF(
    (kind = 'outright' OR (kind = 'continuous' AND ENDS_WITH(symbol, '.0')))
    AND DATE(ts_event) >= trade_date
  ) AS session_bars
FROM `$table`
GROUP BY root, trade_date
