-- Select bars of outrights and continuous symbols with a price that is not a multiple of the root's
-- tick on their trade date. One row per bar.
-- Reads $table, $ticks. Parameter: roots.
SELECT
  bars.root, bars.symbol, bars.ts_event, bars.open, bars.high, bars.low, bars.close,
  ticks.tick_nanos / 1e9 AS tick,
  COUNT(*) OVER (PARTITION BY bars.root) AS offenders
FROM `$table` AS bars
JOIN `$ticks` AS ticks
  ON bars.root = ticks.root AND bars.trade_date BETWEEN ticks.first_date AND ticks.last_date
WHERE bars.root IN UNNEST(@roots)
  AND bars.kind IN ('outright', 'continuous')
  AND (
    -- NULL: a price that is not finite
    COALESCE(MOD(SAFE_CAST(ROUND(bars.open * 1e9) AS INT64), ticks.tick_nanos), 1) <> 0
    OR COALESCE(MOD(SAFE_CAST(ROUND(bars.high * 1e9) AS INT64), ticks.tick_nanos), 1) <> 0
    OR COALESCE(MOD(SAFE_CAST(ROUND(bars.low * 1e9) AS INT64), ticks.tick_nanos), 1) <> 0
    OR COALESCE(MOD(SAFE_CAST(ROUND(bars.close * 1e9) AS INT64), ticks.tick_nanos), 1) <> 0
  )
QUALIFY ROW_NUMBER() OVER (PARTITION BY bars.root ORDER BY bars.symbol, bars.ts_event) <= 20
