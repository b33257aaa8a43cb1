-- Return up to five of the last bars of each root's newest trade date in a span.
-- Reads $table. Parameters: @roots, @first, @end.
WITH newest AS (
  SELECT root, MAX(trade_date) AS trade_date
  FROM `$table`
  WHERE root IN UNNEST(@roots) AND ts_event >= @first AND ts_event < @end
  GROUP BY root
)
SELECT bars.root, bars.ts_event, bars.symbol, bars.open, bars.high, bars.low, bars.close, bars.volume
FROM `$table` AS bars
JOIN newest ON bars.root = newest.root AND bars.trade_date = newest.trade_date
WHERE bars.ts_event >= @first AND bars.ts_event < @end
QUALIFY ROW_NUMBER() OVER (PARTITION BY bars.root ORDER BY bars.ts_event DESC, bars.volume DESC) <= 5
