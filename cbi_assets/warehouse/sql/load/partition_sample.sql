-- Return up to five of the last bars of each root's newest trade date.
-- Reads $table. Parameters: @roots.
WITH newest AS (
  SELECT root, MAX(trade_date) AS trade_date
  FROM `$table`
  WHERE root IN UNNEST(@roots)
  GROUP BY root
)
SELECT bars.root, bars.ts_event, bars.symbol, bars.open, bars.high, bars.low, bars.close, bars.volume
FROM `$table` AS bars
JOIN newest ON bars.root = newest.root AND bars.trade_date = newest.trade_date
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY bars.root ORDER BY bars.ts_event DESC, bars.volume DESC) <= 5
