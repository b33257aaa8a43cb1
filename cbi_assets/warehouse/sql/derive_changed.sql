-- Symbols and trade dates whose derived bars are not those of the bars they rest on, with how many
-- these are; built_from is NULL where none is left. 1m bars stand unless the 1h bars hold more volume.
-- Rows of one load never change: they go, and others come with a load of their own. So equal loads
-- and an equal volume mean equal bars.
WITH wanted AS (
  SELECT
    root, symbol, trade_date, bars, volume, loads, '1m' AS built_from
  FROM `$minutes` AS minutes
  WHERE @from_hours = 0 OR NOT EXISTS (
    SELECT 1 FROM `$hours` AS hours
    WHERE hours.symbol = minutes.symbol AND hours.trade_date = minutes.trade_date
      AND hours.volume > minutes.volume
  )
  UNION ALL
  SELECT
    root, symbol, trade_date, bars, volume, loads, '1h' AS built_from
  FROM `$hours` AS hours
  WHERE @from_hours = 1 AND NOT EXISTS (
    SELECT 1 FROM `$minutes` AS minutes
    WHERE minutes.symbol = hours.symbol AND minutes.trade_date = hours.trade_date
      AND minutes.volume >= hours.volume
  )
),
held_loads AS (
  SELECT
    derived.symbol, derived.trade_date, STRING_AGG(DISTINCT load_id, ' ' ORDER BY load_id) AS loads
  FROM `$derived` AS derived
  CROSS JOIN UNNEST(derived.load_ids) AS load_id
  WHERE derived.root IN UNNEST(@roots)
  GROUP BY derived.symbol, derived.trade_date
),
held_bars AS (
  SELECT
    root, symbol, trade_date, SUM(volume) AS volume, MIN(built_from) AS built_from
  FROM `$derived`
  WHERE root IN UNNEST(@roots)
  GROUP BY root, symbol, trade_date
),
held AS (
  SELECT
    held_bars.root, held_bars.symbol, held_bars.trade_date, held_bars.volume,
    held_bars.built_from, held_loads.loads
  FROM held_bars
  LEFT JOIN held_loads
    ON held_loads.symbol = held_bars.symbol AND held_loads.trade_date = held_bars.trade_date
)
SELECT
  COALESCE(wanted.root, held.root) AS root,
  COALESCE(wanted.symbol, held.symbol) AS symbol,
  COALESCE(wanted.trade_date, held.trade_date) AS trade_date,
  COALESCE(wanted.bars, 0) AS bars,
  wanted.built_from
FROM wanted
FULL OUTER JOIN held
  ON held.symbol = wanted.symbol AND held.trade_date = wanted.trade_date
WHERE @whole = 1
  OR wanted.symbol IS NULL OR held.symbol IS NULL
  OR wanted.volume <> held.volume
  OR wanted.built_from <> held.built_from
  OR wanted.loads <> COALESCE(held.loads, '')
