-- Select bars of outrights and continuous symbols with a price that is not a multiple of the root's
-- tick on their trade date. One row per bar; `offenders` counts those of the root's month.
-- Reads $table, $ticks. Parameters: roots, first, end.
SELECT
  bars.root, DATE_TRUNC(DATE(bars.ts_event), MONTH) AS month, bars.symbol, bars.ts_event, bars.open, bars.high, bars.low, bars.close,
  ticks.tick_nanos / 1e9 AS tick,
  COUNT(*) OVER (PARTITION BY bars.root, DATE_TRUNC(DATE(bars.ts_event), MONTH)) AS offenders
FROM `$table` AS bars
JOIN `$ticks` AS ticks
  ON bars.root = ticks.root AND bars.trade_date BETWEEN ticks.first_date AND ticks.last_date
WHERE bars.root IN UNNEST(@roots) AND bars.ts_event >= @first AND bars.ts_event < @end
  AND bars.kind IN ('outright', 'continuous')
  AND (
    -- ELSE: not finite, or beyond what 64 bits hold
    CASE WHEN ABS(bars.open) < 9e9 THEN MOD(CAST(ROUND(bars.open * 1e9) AS INT64), ticks.tick_nanos) <> 0 ELSE TRUE END
    OR CASE WHEN ABS(bars.high) < 9e9 THEN MOD(CAST(ROUND(bars.high * 1e9) AS INT64), ticks.tick_nanos) <> 0 ELSE TRUE END
    OR CASE WHEN ABS(bars.low) < 9e9 THEN MOD(CAST(ROUND(bars.low * 1e9) AS INT64), ticks.tick_nanos) <> 0 ELSE TRUE END
    OR CASE WHEN ABS(bars.close) < 9e9 THEN MOD(CAST(ROUND(bars.close * 1e9) AS INT64), ticks.tick_nanos) <> 0 ELSE TRUE END
  )
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY bars.root, DATE_TRUNC(DATE(bars.ts_event), MONTH) ORDER BY bars.symbol, bars.ts_event
) <= 20
