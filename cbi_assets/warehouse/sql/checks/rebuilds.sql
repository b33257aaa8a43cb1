-- Compare bars with those aggregated from the next finer timeframe, by instrument, whatever symbols
-- the two were requested by: on the UTC days for which both tables have bars of an instrument, each
-- of its symbols here with each of its symbols there. Bars without volume state no trade. A day on
-- which a file of the finer bars begins or ends is not compared: it has a part of the day only. One
-- row per mismatched bar; without one, one row per root and month. `offenders` and `compared`, all
-- bars, are counted by root and month.
-- Reads $table, $finer, ops.source_files; $step is DAY or HOUR. Parameters: roots, first, end.
WITH edges AS (
  SELECT id, covers_from AS edge FROM `ops.source_files`
  WHERE covers_from > TIMESTAMP_TRUNC(covers_from, DAY)
  UNION ALL
  SELECT id, covers_to AS edge FROM `ops.source_files`
  WHERE covers_to > TIMESTAMP_TRUNC(covers_to, DAY)
),
partial_days AS (
  SELECT DISTINCT
    finer.dataset, finer.root, finer.instrument_id, finer.symbol, DATE(finer.ts_event) AS utc_day
  FROM `$finer` AS finer
  JOIN edges ON edges.id = finer.source_file_id AND DATE(edges.edge) = DATE(finer.ts_event)
  WHERE finer.root IN UNNEST(@roots) AND finer.ts_event >= @first AND finer.ts_event < @end
),
rebuilt AS (
  SELECT
    dataset, root, instrument_id, symbol, TIMESTAMP_TRUNC(ts_event, $step) AS start,
    ANY_VALUE(open HAVING MIN ts_event) AS open, MAX(high) AS high, MIN(low) AS low,
    ANY_VALUE(close HAVING MAX ts_event) AS close, SUM(volume) AS volume
  FROM `$finer`
  WHERE root IN UNNEST(@roots) AND ts_event >= @first AND ts_event < @end AND volume > 0
  GROUP BY dataset, root, instrument_id, symbol, TIMESTAMP_TRUNC(ts_event, $step)
),
stated AS (
  SELECT
    dataset, root, instrument_id, symbol, ts_event AS start, open, high, low, close, volume
  FROM `$table`
  WHERE root IN UNNEST(@roots) AND ts_event >= @first AND ts_event < @end
),
days AS (
  SELECT DISTINCT
    stated.dataset, stated.root, stated.instrument_id, stated.symbol,
    finer.symbol AS finer_symbol, finer.utc_day
  FROM stated
  JOIN (
    SELECT DISTINCT dataset, root, instrument_id, symbol, DATE(start) AS utc_day FROM rebuilt
    EXCEPT DISTINCT
    SELECT dataset, root, instrument_id, symbol, utc_day FROM partial_days
  ) AS finer
    ON finer.dataset = stated.dataset AND finer.root = stated.root
      AND finer.instrument_id = stated.instrument_id AND finer.utc_day = DATE(stated.start)
),
stated_there AS (
  SELECT stated.*, days.finer_symbol
  FROM stated
  JOIN days
    ON days.dataset = stated.dataset AND days.root = stated.root
      AND days.instrument_id = stated.instrument_id AND days.symbol = stated.symbol
      AND days.utc_day = DATE(stated.start)
),
rebuilt_there AS (
  SELECT rebuilt.* EXCEPT (symbol), days.symbol, days.finer_symbol
  FROM rebuilt
  JOIN days
    ON days.dataset = rebuilt.dataset AND days.root = rebuilt.root
      AND days.instrument_id = rebuilt.instrument_id AND days.finer_symbol = rebuilt.symbol
      AND days.utc_day = DATE(rebuilt.start)
),
pairs AS (
  SELECT
    COALESCE(s.dataset, r.dataset) AS dataset, COALESCE(s.root, r.root) AS root,
    COALESCE(s.instrument_id, r.instrument_id) AS instrument_id,
    COALESCE(s.symbol, r.symbol) AS symbol,
    COALESCE(s.finer_symbol, r.finer_symbol) AS finer_symbol,
    COALESCE(s.start, r.start) AS ts_event,
    s.open AS stated_open, r.open AS rebuilt_open, s.high AS stated_high, r.high AS rebuilt_high,
    s.low AS stated_low, r.low AS rebuilt_low, s.close AS stated_close, r.close AS rebuilt_close,
    s.volume AS stated_volume, r.volume AS rebuilt_volume,
    CASE
      WHEN s.open = r.open AND s.high = r.high AND s.low = r.low AND s.close = r.close
        AND s.volume = r.volume THEN 0
      WHEN s.volume = 0 AND r.start IS NULL THEN 0
      ELSE 1
    END AS differs
  FROM stated_there AS s
  FULL OUTER JOIN rebuilt_there AS r
    ON r.dataset = s.dataset AND r.root = s.root AND r.instrument_id = s.instrument_id
      AND r.symbol = s.symbol AND r.finer_symbol = s.finer_symbol AND r.start = s.start
),
by_month AS (
  SELECT pairs.*, DATE_TRUNC(DATE(ts_event), MONTH) AS month FROM pairs
),
ranked AS (
  SELECT
    by_month.*,
    SUM(differs) OVER (PARTITION BY root, month) AS offenders,
    COUNT(*) OVER (PARTITION BY root, month) AS compared,
    ROW_NUMBER() OVER (
      PARTITION BY root, month
      ORDER BY differs DESC, ts_event, symbol, finer_symbol, dataset, instrument_id
    ) AS place
  FROM by_month
)
SELECT
  root, month, symbol, finer_symbol, ts_event, dataset, instrument_id,
  stated_open, rebuilt_open, stated_high, rebuilt_high, stated_low, rebuilt_low,
  stated_close, rebuilt_close, stated_volume, rebuilt_volume, offenders, compared
FROM ranked
WHERE place <= 20 AND (differs = 1 OR place = 1)
ORDER BY root, month, place
