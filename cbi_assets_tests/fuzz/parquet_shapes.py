"""Parquet files whose columns, types and times differ from those that Databento's client writes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from cbi_assets_tests.fuzz.good_jobs import encode


def _bytes(table: pa.Table, **options: object) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def _plain() -> pa.Table:
    """Return the good bars without pandas' metadata, with times in UTC and prices in float64."""
    return pq.read_table(io.BytesIO(encode("parquet"))).replace_schema_metadata(None)


def _with(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)


def _map(
    table: pa.Table, name: str, change: Callable[[object], object], dtype: pa.DataType
) -> pa.Table:
    return _with(table, name, pa.array([change(v) for v in table[name].to_pylist()], dtype))


def parquet_shapes() -> Iterator[tuple[str, bytes]]:
    """Yield Parquet files of the good bars in other types, and of bars that are not valid."""
    table = _plain()
    times = table["ts_event"].cast(pa.timestamp("ns", "UTC"))
    naive = times.cast(pa.timestamp("ns"))
    yield "times without a zone", _bytes(_with(table, "ts_event", naive))
    for zone in ("America/Chicago", "+05:30", "Nowhere/Land", "", "GMT-25"):
        kind = pa.timestamp("ns", zone or None)
        yield f"times in zone {zone or 'none'}", _bytes(_with(table, "ts_event", times.cast(kind)))
    for unit in ("us", "ms", "s"):
        yield (
            f"times in {unit}",
            _bytes(_with(table, "ts_event", times.cast(pa.timestamp(unit, "UTC")))),
        )
    yield "times as int64", _bytes(_with(table, "ts_event", times.cast(pa.int64())))
    yield (
        "times as uint64",
        _bytes(_with(table, "ts_event", times.cast(pa.int64()).cast(pa.uint64()))),
    )
    yield "times as text", _bytes(_with(table, "ts_event", times.cast(pa.string())))
    yield "times as dates", _bytes(_with(table, "ts_event", times.cast(pa.date32(), safe=False)))
    for scale, label in ((10**9, "raw"), (1, "whole"), (100, "in hundredths")):
        scaled = table
        for name in ("open", "high", "low", "close"):
            scaled = _map(scaled, name, lambda v, s=scale: round(v * s), pa.int64())  # type: ignore[operator]
        yield f"prices {label} as int64", _bytes(scaled)
        unsigned = scaled
        for name in ("open", "high", "low", "close"):
            unsigned = _with(unsigned, name, scaled[name].cast(pa.uint64()))
        yield f"prices {label} as uint64", _bytes(unsigned)
    high = _map(table, "open", lambda v: 2**64 - 1, pa.uint64())
    yield "a price of 2**64-1", _bytes(high)
    for dtype in (
        pa.float32(),
        pa.float16(),
        pa.decimal128(12, 2),
        pa.decimal256(40, 9),
        pa.string(),
    ):
        column = table["close"].cast(pa.float64()).to_pylist()
        changed = [f"{v:.2f}" for v in column] if pa.types.is_string(dtype) else column
        if pa.types.is_decimal(dtype):
            made = pa.array([f"{v:.2f}" for v in column]).cast(dtype)
        else:
            made = pa.array(changed).cast(dtype)
        yield f"close as {dtype}", _bytes(_with(table, "close", made))
    for label, value in (
        ("NaN", float("nan")),
        ("infinite", float("inf")),
        ("null", None),
        ("off tick", 45.035),
    ):
        one = [value, *table["close"].to_pylist()[1:]]
        yield f"one close {label}", _bytes(_with(table, "close", pa.array(one, pa.float64())))
    symbols = table["symbol"].to_pylist()
    yield "symbols in lists", _bytes(_with(table, "symbol", pa.array([[s] for s in symbols])))
    yield (
        "symbols in a dictionary",
        _bytes(_with(table, "symbol", pa.array(symbols).dictionary_encode())),
    )
    yield (
        "symbols as bytes",
        _bytes(_with(table, "symbol", pa.array([s.encode() for s in symbols]))),
    )
    yield (
        "symbols as bytes not UTF-8",
        _bytes(_with(table, "symbol", pa.array([b"\xff\xfe"] * len(symbols)))),
    )
    yield "symbols as numbers", _bytes(_with(table, "symbol", pa.array([5] * len(symbols))))
    yield (
        "symbols in structs",
        _bytes(_with(table, "symbol", pa.array([{"a": s} for s in symbols]))),
    )
    for label, value in (
        ("empty", ""),
        ("null", None),
        ("with a newline", "ZL.v.0\n"),
        ("blank", " "),
    ):
        yield f"one symbol {label}", _bytes(_with(table, "symbol", pa.array([value, *symbols[1:]])))
    for name in ("rtype", "publisher_id", "instrument_id", "volume"):
        for dtype in (pa.string(), pa.float64(), pa.int64(), pa.uint64(), pa.bool_()):
            yield f"{name} as {dtype}", _bytes(_with(table, name, table[name].cast(dtype)))
    for name in ("rtype", "publisher_id", "instrument_id", "volume", "ts_event", "symbol"):
        yield (
            f"one null {name}",
            _bytes(
                _with(table, name, pa.array([None, *table[name].to_pylist()[1:]], table[name].type))
            ),
        )
        yield f"no {name}", _bytes(table.drop_columns([name]))
    yield (
        "publisher of another dataset",
        _bytes(_map(table, "publisher_id", lambda v: 2, pa.uint16())),
    )
    yield "negative volumes", _bytes(_map(table, "volume", lambda v: -v, pa.int64()))  # type: ignore[operator]
    yield "volumes beyond int64", _bytes(_map(table, "volume", lambda v: 2**63 + v, pa.uint64()))  # type: ignore[operator]
    yield "rtype of another schema", _bytes(_map(table, "rtype", lambda v: 33, pa.uint8()))
    yield "rtype of trades", _bytes(_map(table, "rtype", lambda v: 0, pa.uint8()))
    yield "a column twice", _bytes(table.append_column("close", table["open"]))
    yield "another column", _bytes(table.append_column("note", pa.array(["x"] * table.num_rows)))
    yield (
        "columns in capitals",
        _bytes(table.rename_columns([n.upper() for n in table.column_names])),
    )
    yield "no records", _bytes(table.slice(0, 0))
    yield "a record twice", _bytes(pa.concat_tables([table, table.slice(0, 1)]))
    yield "many row groups", _bytes(table, row_group_size=2)
    for codec in ("gzip", "zstd", "brotli", "lz4", "none"):
        yield f"compressed by {codec}", _bytes(table, compression=codec)
    polars = pl.DataFrame(table)
    out = io.BytesIO()
    polars.write_parquet(out)
    yield "written by Polars", out.getvalue()
