-- Symbols and trade dates whose derived bars are not those of the bars they rest on, with how many
-- these are; built_from is NULL where none is left. 1m bars stand unless the 1h bars hold more volume.
-- Rows of one load never change: they go, and others come with a load of their own. So equal loads
-- and an equal volume mean equal bars. Lists of loads are taken apart only where there is more than
-- one load: nearly all trade dates have one.
WITH minutes AS (
  SELECT
    root, symbol, trade_date, SUM(bars) AS bars, SUM(volume) AS volume,
    MIN(load_id) AS first_load, MAX(load_id) AS last_load
  FROM `$minutes`
  GROUP BY root, symbol, trade_date
),
hours AS (
  SELECT
    root, symbol, trade_date, SUM(bars) AS bars, SUM(volume) AS volume,
    MIN(load_id) AS first_load, MAX(load_id) AS last_load
  FROM `$hours`
  WHERE @from_hours = 1
  GROUP BY root, symbol, trade_date
),
wanted AS (
  SELECT minutes.*, '1m' AS built_from
  FROM minutes
  LEFT JOIN hours ON hours.symbol = minutes.symbol AND hours.trade_date = minutes.trade_date
  WHERE hours.volume IS NULL OR hours.volume <= minutes.volume
  UNION ALL
  SELECT hours.*, '1h' AS built_from
  FROM hours
  LEFT JOIN minutes ON minutes.symbol = hours.symbol AND minutes.trade_date = hours.trade_date
  WHERE minutes.volume IS NULL OR minutes.volume < hours.volume
),
held_lists AS (
  SELECT
    root, symbol, trade_date, ARRAY_TO_STRING(load_ids, ' ') AS loads,
    SUM(volume) AS volume, MIN(built_from) AS built_from
  FROM `$derived`
  WHERE root IN UNNEST(@roots)
  GROUP BY root, symbol, trade_date, loads
),
held AS (
  SELECT
    root, symbol, trade_date, SUM(volume) AS volume, MIN(built_from) AS built_from,
    MIN(loads) AS first_loads, MAX(loads) AS last_loads
  FROM held_lists
  GROUP BY root, symbol, trade_date
),
compared AS (
  SELECT
    COALESCE(wanted.root, held.root) AS root,
    COALESCE(wanted.symbol, held.symbol) AS symbol,
    COALESCE(wanted.trade_date, held.trade_date) AS trade_date,
    COALESCE(wanted.bars, 0) AS bars,
    wanted.built_from,
    wanted.symbol IS NULL OR held.symbol IS NULL
      OR wanted.volume <> held.volume
      OR wanted.built_from <> held.built_from AS differs,
    wanted.first_load = wanted.last_load
      AND held.first_loads = held.last_loads
      AND held.first_loads = wanted.first_load AS of_one_load
  FROM wanted
  FULL OUTER JOIN held
    ON held.symbol = wanted.symbol AND held.trade_date = wanted.trade_date
),
mixed AS (
  SELECT symbol, trade_date, built_from
  FROM compared
  WHERE NOT differs AND NOT COALESCE(of_one_load, FALSE)
),
wanted_loads AS (
  SELECT sources.symbol, sources.trade_date, sources.load_id
  FROM `$minutes` AS sources
  JOIN mixed ON mixed.symbol = sources.symbol AND mixed.trade_date = sources.trade_date
  WHERE mixed.built_from = '1m'
  UNION ALL
  SELECT sources.symbol, sources.trade_date, sources.load_id
  FROM `$hours` AS sources
  JOIN mixed ON mixed.symbol = sources.symbol AND mixed.trade_date = sources.trade_date
  WHERE mixed.built_from = '1h'
),
mixed_lists AS (
  SELECT held_lists.symbol, held_lists.trade_date, SPLIT(held_lists.loads, ' ') AS load_ids
  FROM held_lists
  JOIN mixed ON mixed.symbol = held_lists.symbol AND mixed.trade_date = held_lists.trade_date
),
held_loads AS (
  SELECT DISTINCT mixed_lists.symbol, mixed_lists.trade_date, load_id
  FROM mixed_lists
  CROSS JOIN UNNEST(mixed_lists.load_ids) AS load_id
),
other_loads AS (
  SELECT DISTINCT
    COALESCE(wanted_loads.symbol, held_loads.symbol) AS symbol,
    COALESCE(wanted_loads.trade_date, held_loads.trade_date) AS trade_date
  FROM wanted_loads
  FULL OUTER JOIN held_loads
    ON held_loads.symbol = wanted_loads.symbol
    AND held_loads.trade_date = wanted_loads.trade_date
    AND held_loads.load_id = wanted_loads.load_id
  WHERE wanted_loads.symbol IS NULL OR held_loads.symbol IS NULL
)
SELECT
  compared.root, compared.symbol, compared.trade_date, compared.bars, compared.built_from
FROM compared
LEFT JOIN other_loads
  ON other_loads.symbol = compared.symbol AND other_loads.trade_date = compared.trade_date
WHERE @whole = 1 OR compared.differs OR other_loads.symbol IS NOT NULL
