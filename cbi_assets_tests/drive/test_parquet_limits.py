"""A Parquet file takes little memory, whatever its footer and its pages state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import databento
import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cbi_assets.drive import parquet_limits
from cbi_assets.drive.parquet_limits import check_pages, open_parquet
from cbi_assets.errors import SourceError
from cbi_assets.session import Project
from cbi_assets_tests.helpers import (
    bars,
    dbn_file,
    expected_rows,
    load_once,
    published,
    refusals,
)

GOOD = bars(5, symbol="ZS.v.0", price="1001.25")
GOOD_ROWS = expected_rows(GOOD, "ZS.v.0", "ZS")
NAME = "a.ohlcv-1h.parquet"
AGAIN = "Download the file again."


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """Return 24 bars as DBNStore.to_parquet writes them."""
    path = tmp_path_factory.mktemp("parquet") / NAME
    databento.DBNStore.from_bytes(dbn_file(bars(24))).to_parquet(path, map_symbols=True)
    return pq.read_table(path)


def repeated(table: pa.Table, count: int) -> pa.Table:
    """Return the first bar, `count` times."""
    return table.take(pa.array(np.zeros(count, dtype=np.int64)))


def write_bomb_of_rows(table: pa.Table, path: Path) -> None:
    """Write 112 MB of rows in a few kB: each column is one run of one value."""
    pq.write_table(repeated(table, 2_000_000), path, compression="zstd", row_group_size=2_000_000)


def write_shared_prefixes(table: pa.Table, path: Path) -> None:
    encoding: dict[str, Any] = {"column_encoding": {"symbol": "DELTA_BYTE_ARRAY"}}
    pq.write_table(table, path, use_dictionary=False, **encoding)


def write_long_footer(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path)
    data = path.read_bytes()
    path.write_bytes(data[:-8] + (1 << 30).to_bytes(4, "little") + b"PAR1")


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (write_bomb_of_rows, "expands to more than 200 times its size: not bars"),
        (write_long_footer, "its footer is longer than 16 MiB"),
    ],
)
def test_parquet_is_refused_if_it_would_expand_beyond_reason(
    project: Project,
    drive: Path,
    table: pa.Table,
    write: Callable[[pa.Table, Path], None],
    reason: str,
) -> None:
    write(table, drive / NAME)
    (drive / "good.dbn").write_bytes(dbn_file(GOOD))
    assert refusals(load_once(project)) == {NAME: f"{reason}. {AGAIN}"}
    assert published(project) == GOOD_ROWS


def test_parquet_is_refused_if_its_symbols_share_prefixes(
    project: Project, drive: Path, table: pa.Table
) -> None:
    write_shared_prefixes(table, drive / NAME)
    [reason] = refusals(load_once(project)).values()
    assert reason == (
        "column symbol of the Parquet is encoded as DELTA_BYTE_ARRAY, which is not read. "
        "Write it again with the encoding PLAIN."
    )


def test_page_is_measured_by_its_own_header_not_by_the_footer(
    tmp_path: Path, table: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let the header of a page of 24 doubles (192 bytes and their levels) state 8,191 bytes."""
    monkeypatch.setattr(parquet_limits, "MAX_PAGE", 4096)
    path = tmp_path / NAME
    pq.write_table(table, path, use_dictionary=False, compression="none", write_statistics=False)
    with open_parquet(path) as parquet:
        check_pages(path, parquet, {"open"})
        group = parquet.metadata.row_group(0)
        [chunk] = [c for c in map(group.column, range(10)) if c.path_in_schema == "open"]
    data = bytearray(path.read_bytes())
    at = chunk.data_page_offset
    assert data[at : at + 3] == b"\x15\x00\x15"  # the page's type, 0; then its size in two bytes
    data[at + 3 : at + 5] = b"\xfe\x7f"  # zigzag of 8,191
    path.write_bytes(data)
    with (
        open_parquet(path) as parquet,
        pytest.raises(SourceError, match="a page of 8,191 bytes"),
    ):
        check_pages(path, parquet, {"open"})


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("is_dictionary", [True, False])
def test_sizes_of_pages_add_up_to_those_of_the_footer(
    tmp_path: Path, table: pa.Table, version: Any, is_dictionary: bool
) -> None:
    """The footer of an honest file counts the pages and their headers, 10 to 200 bytes each."""
    path = tmp_path / NAME
    pq.write_table(
        table, path, use_dictionary=is_dictionary, data_page_version=version, data_page_size=64
    )
    with open_parquet(path) as parquet, path.open("rb") as raw:
        group = parquet.metadata.row_group(0)
        for chunk in map(group.column, range(group.num_columns)):
            headers = chunk.total_uncompressed_size - parquet_limits._check_chunk(raw, chunk)
            assert 10 <= headers <= 400


@pytest.mark.full
@pytest.mark.parametrize("writer", ["polars", "duckdb", "duckdb v2"])
def test_parquet_of_other_writers_loads(
    project: Project, drive: Path, table: pa.Table, writer: str
) -> None:
    path = drive / NAME
    if writer == "polars":
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        frame.write_parquet(path)
    else:
        options = f"FORMAT parquet, PARQUET_VERSION {'V2' if writer == 'duckdb v2' else 'V1'}"
        with duckdb.connect() as connection:
            connection.register("bars", table)
            connection.execute(f"COPY bars TO '{path}' ({options})")
    assert not load_once(project).has_failures
    assert published(project) == expected_rows(bars(24))
