"""An export has the warehouse's rows, the same bytes for the same state, and says if it is old."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cbi_assets.config.settings import Settings
from cbi_assets.errors import UsageError
from cbi_assets.export import Verdict, export_tables, verify_export
from cbi_assets.session import Project, open_session
from cbi_assets.tables import DAILY_ML_MATRIX, DAILY_ML_MATRIX_FLAT
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.build.test_training import DAILY, NOW, ONLY, make_home, run
from cbi_assets_tests.helpers import copy_home, open_warehouse, query

TABLE = f"training.{DAILY}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("exported")
    (root / "drive").mkdir()
    settings = Settings(_env_file=None, cbi_home=root / "home", cbi_drive=root / "drive")  # type: ignore[call-arg]
    run(make_home(Project(settings), root / "drive"))
    return root / "home"


@pytest.fixture
def home(trained: Path, tmp_path: Path) -> Project:
    return replace(copy_home(trained, tmp_path / "copy")[0], training=ONLY)


def export(
    home: Project,
    what: str,
    folder: Path,
    file_format: str = "parquet",
    symbols: tuple[str, ...] = (),
) -> dict[str, Any]:
    with open_session(home, now=NOW) as session:
        return export_tables(session, what, symbols, file_format, folder)


def verify(home: Project, folder: Path) -> Verdict:
    with open_session(home, now=NOW) as session:
        return verify_export(session, folder)


@pytest.mark.full
def test_parquet_has_the_rows_of_the_table(home: Project, tmp_path: Path) -> None:
    manifest = export(home, TABLE, tmp_path / "out")
    assert manifest == json.loads((tmp_path / "out" / "manifest.json").read_text())
    (entry,) = manifest["tables"]
    (file,) = entry["files"]
    path = tmp_path / "out" / f"{TABLE}.MES.parquet"
    assert pl.read_parquet(path).equals(query(home, f"SELECT * FROM `{TABLE}` ORDER BY data_date"))
    assert (file["path"], file["symbol"], file["rows"]) == (path.name, "MES", 12)
    assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert file["data_through"] == "2025-01-23"
    target = next(column for column in entry["columns"] if column["name"] == "target")
    assert target["unit"] == "fraction"
    assert target["meaning"].startswith("what holding the front contract earns")
    assert list(manifest["sources"]) == [TABLE]
    assert manifest["package"]["rules"]


@pytest.mark.full
def test_csv_has_a_column_per_field_and_utc_times(home: Project, tmp_path: Path) -> None:
    manifest = export(home, DAILY_ML_MATRIX.id, tmp_path / "out", "csv")
    (file,) = manifest["tables"][0]["files"]
    with open(tmp_path / "out" / file["path"], newline="") as text:
        rows = list(csv.DictReader(text))
    assert list(rows[0]) == list(DAILY_ML_MATRIX_FLAT.column_names)
    assert [column["name"] for column in manifest["tables"][0]["columns"]] == list(rows[0])
    assert rows[0]["timestamp"] == "2025-01-06T22:00:00.000000Z"
    assert (rows[0]["market_data_close"], rows[0]["pivots_P"]) == ("13.0", "")
    assert rows[1]["source_load_ids"].startswith("L2025")


@pytest.mark.full
def test_the_same_state_gives_the_same_bytes(home: Project, tmp_path: Path) -> None:
    for file_format in ("parquet", "csv"):
        for name in ("a", "b"):
            export(home, "matrix", tmp_path / file_format / name, file_format)
        first, second = (
            {path.name: path.read_bytes() for path in (tmp_path / file_format / name).iterdir()}
            for name in ("a", "b")
        )
        assert first == second
        assert len(first) == 2


def test_verify_passes_until_the_rows_change(home: Project, tmp_path: Path) -> None:
    export(home, "matrix", tmp_path / "out")
    name = f"{DAILY_ML_MATRIX_FLAT.id}.MES.parquet"
    assert verify(home, tmp_path / "out") == Verdict(1, [], [])
    with open_warehouse(home, now=NOW) as warehouse:
        one = "regime_name = 'other' WHERE data_date = '2025-01-07'"
        sql = f"UPDATE `{DAILY_ML_MATRIX.id}` SET {one}"
        warehouse.transact([Statement(sql)])
    assert verify(home, tmp_path / "out") == Verdict(1, [], [name])
    (tmp_path / "out" / name).write_bytes(b"")
    assert verify(home, tmp_path / "out") == Verdict(1, [name], [name])


@pytest.mark.parametrize(
    ("what", "options", "words"),
    [
        ("nothing", {}, "nothing: no such table"),
        ("matrix", {"file_format": "xlsx"}, "--format xlsx: not a format"),
        ("matrix", {"symbols": ("XX",)}, "XX"),
        ("training", {}, "training.zl_training_prod_allhistory_1w: is not built yet"),
    ],
)
def test_wrong_use_is_named(
    home: Project, tmp_path: Path, what: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        export(home, what, tmp_path / "out", **options)
    assert words in str(caught.value)


def test_nothing_is_written_to_the_drive(home: Project) -> None:
    drive = home.settings.cbi_drive
    assert drive is not None
    with pytest.raises(UsageError, match="is on the drive"):
        export(home, "matrix", drive / "out")
    assert list(drive.iterdir()) == []


def test_a_folder_without_a_manifest_cannot_be_verified(home: Project, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no readable manifest"):
        verify(home, tmp_path)
