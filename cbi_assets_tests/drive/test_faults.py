"""Whatever a reader raises becomes the refusal of one file, and the rest loads."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cbi_assets.cli.console import say
from cbi_assets.drive import landing, reader
from cbi_assets.drive.batch import Decoded, Piece
from cbi_assets.drive.streams import SourceStream
from cbi_assets.errors import SourceError
from cbi_assets.formatting import printable
from cbi_assets.session import Project
from cbi_assets_tests.drive.jobs import parquet_variants, zip_of
from cbi_assets_tests.helpers import (
    JOB,
    bars,
    dbn_file,
    expected_rows,
    load_once,
    published,
    put_job,
    refusals,
)

GOOD = bars(5, symbol="ZS.v.0", price="1001.25")
GOOD_ROWS = expected_rows(GOOD, "ZS.v.0", "ZS")
AGAIN = "Download the file again."


class PanicException(BaseException):
    """Named like what a library in Rust raises."""


def edited(document: Any, path: tuple[Any, ...], value: object) -> Any:
    """Return a JSON document with one value replaced."""
    inside = document
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    return document


WRONG_VALUES = [
    ("metadata.json", ("job_id",), ["x"]),
    ("metadata.json", ("query", "dataset"), ["GLBX.MDP3"]),
    ("metadata.json", ("query", "dataset"), "GLBX.MDP3\ud800"),
    ("metadata.json", ("query",), None),
    ("symbology.json", ("result", "\ud800"), [{"d0": "2025-01-01", "d1": "2025-02-01", "s": "1"}]),
    ("symbology.json", ("result", "ZL.v.0"), [{"d0": "2025-01-01", "d1": [], "s": "1"}]),
    ("symbology.json", ("result", "ZL.v.0"), [{"d0": "2025-01-01", "d1": "x", "s": "9" * 40}]),
    ("symbology.json", ("result",), [1]),
    ("condition.json", (0,), 3),
    ("condition.json", (0, "date"), {"day": 1}),
]


def test_sidecars_with_values_of_wrong_types_stop_nothing(project: Project, drive: Path) -> None:
    import datetime as dt

    put_job(drive, {"good.dbn": dbn_file(GOOD)})
    wrong = set()
    in_zip: dict[str, bytes] = {}
    for n, (name, path, value) in enumerate(WRONG_VALUES):
        folder = put_job(
            drive,
            {f"{n}.dbn": dbn_file(GOOD)},
            f"job {n}",
            missing_days=[dt.date(2025, 1, 1)],
            sidecars=("metadata", "symbology", "condition"),
        )
        document = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(edited(document, path, value)))
        wrong.add(f"{folder.name}/{name}")
        in_zip |= {f"{folder.name}/{file.name}": file.read_bytes() for file in folder.iterdir()}
    (drive / "jobs.zip").write_bytes(zip_of(in_zip))
    outcome = load_once(project)
    reasons = {f.path: f.reason for f in outcome.survey.files if f.reason and f.verdict != "zip"}
    assert reasons.keys() == wrong | {f"jobs.zip!/{path}" for path in wrong}
    assert all("is not what Databento writes" in reason for reason in reasons.values())
    assert published(project) == GOOD_ROWS


def _replaced(table: pa.Table, name: str, column: Any) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, column)


def parquet_of_wrong_types(scratch: Path) -> dict[str, bytes]:
    """Return Databento's Parquet with one column of a type that it never has."""
    data = next(d for n, d, _ in parquet_variants(scratch) if "fixed-ts1-map1" in n)
    table = pq.read_table(io.BytesIO(data))
    rows = table.num_rows
    columns = {
        "uint64": ("open", pa.array([2**64 - 5] * rows, pa.uint64())),
        "listed symbols": ("symbol", pa.array([["ZL.v.0"]] * rows)),
        "structured symbols": ("symbol", pa.array([{"a": "ZL.v.0"}] * rows)),
        "listed publishers": ("publisher_id", pa.array([[1]] * rows)),
        "listed rtypes": ("rtype", pa.array([[34]] * rows)),
        "zone": (
            "ts_event",
            table["ts_event"].cast(pa.int64()).cast(pa.timestamp("ns", "Mars/Olympus")),
        ),
    }
    files = {}
    for name, (column, values) in columns.items():
        out = io.BytesIO()
        pq.write_table(_replaced(table, column, values), out)
        files[f"{name}.parquet"] = out.getvalue()
    return files


def test_parquet_of_wrong_types_is_refused(project: Project, drive: Path, tmp_path: Path) -> None:
    files = parquet_of_wrong_types(tmp_path)
    put_job(drive, {**files, "good.dbn": dbn_file(GOOD)})
    outcome = load_once(project)
    reasons = refusals(outcome)
    assert reasons.keys() == {f"{JOB}/{name}" for name in files}
    assert not any("\n" in reason for reason in reasons.values())
    assert published(project) == GOOD_ROWS
    again = load_once(project)
    assert refusals(again) == reasons
    assert again.survey.read == 0


@pytest.mark.full
@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "error", [KeyError("x"), RecursionError(), AssertionError(), PanicException()]
)
@pytest.mark.parametrize("place", ["sniff_source", "pieces_of"])
def test_any_error_of_a_reader_refuses_only_its_file(
    project: Project,
    drive: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    error: BaseException,
) -> None:
    (drive / "a.dbn").write_bytes(dbn_file(bars(24), zstd=False))
    (drive / "good.dbn").write_bytes(dbn_file(GOOD))
    reading: Callable[..., Any] = getattr(reader, place)
    calls: list[int] = []

    def fail_first(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            return reading(*arguments)
        if place == "sniff_source":
            raise error
        return _raising(error)

    monkeypatch.setattr(reader, place, fail_first)
    [(path, reason)] = refusals(load_once(project)).items()
    assert path == "a.dbn"
    assert reason.startswith(f"cannot be read as bars ({type(error).__name__}")
    assert published(project) == GOOD_ROWS


def _raising(error: BaseException) -> Any:
    raise error
    yield


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("module", "place"),
    [(reader, "sniff_source"), (reader, "pieces_of"), (landing, "decode")],
)
def test_lack_of_memory_refuses_only_its_file_and_the_next_run_retries_it(
    project: Project,
    drive: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    place: str,
) -> None:
    """Fail for the file of 24 bars: by its size at the source, by its records when decoding."""
    (drive / "a.dbn").write_bytes(dbn_file(bars(24), zstd=False))
    (drive / "good.dbn").write_bytes(dbn_file(GOOD, zstd=False))
    large = (drive / "a.dbn").stat().st_size
    reading: Callable[..., Any] = getattr(module, place)

    def fail_if_large(*arguments: Any) -> Any:
        for argument in arguments:
            if isinstance(argument, SourceStream) and argument.expected_size == large:
                raise MemoryError
            if isinstance(argument, list) and any(piece.count == 24 for piece in argument):
                raise MemoryError
        return reading(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, place, fail_if_large)
        outcome = load_once(project)
    assert refusals(outcome) == {
        "a.dbn": "reading it needs more memory than is free. "
        "End other programs, or move the file away; retry."
    }
    assert published(project) == GOOD_ROWS
    assert refusals(load_once(project)) == {}
    assert len(published(project)) == 24 + len(GOOD)


def test_undecodable_file_in_a_batch_is_refused_with_its_copies(
    project: Project, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.dbn", "copy of a.dbn"):
        (drive / name).write_bytes(dbn_file(bars(24)))
    (drive / "good.dbn").write_bytes(dbn_file(GOOD))
    decode = landing.decode

    def fail_on_24(file_format: Any, pieces: list[Piece]) -> Decoded:
        if any(piece.count == 24 for piece in pieces):
            raise PanicException("index out of bounds")
        return decode(file_format, pieces)

    with monkeypatch.context() as patch:
        patch.setattr(landing, "decode", fail_on_24)
        outcome = load_once(project)
    why = f"its records cannot be decoded (PanicException: index out of bounds). {AGAIN}"
    assert refusals(outcome) == {"a.dbn": why, "copy of a.dbn": why}
    assert [content.path for content in outcome.survey.contents.values()] == ["good.dbn"]
    assert published(project) == GOOD_ROWS


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 中", "plain é 中"),
        ("a\nb\x1b[31m\x7f", r"a\nb\x1b[31m\x7f"),
        ("\u202egnp.exe\u2028", r"\u202egnp.exe\u2028"),
        ("half \ud800", r"half \ud800"),
    ],
)
def test_names_are_shown_with_control_characters_escaped(
    text: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printable(text) == shown


def test_say_prints_one_line_whatever_a_name_contains(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"refused: {'a\nPASS\x1b[2J.dbn'}: truncated")
    assert capsys.readouterr().err == "refused: a\\nPASS\\x1b[2J.dbn: truncated\n"


def test_source_error_text_is_kept(project: Project, drive: Path) -> None:
    (drive / "a.dbn").write_bytes(dbn_file(GOOD, zstd=False)[:-1])
    [reason] = refusals(load_once(project)).values()
    assert reason == str(SourceError("truncated: it ends inside record 5", remedy=AGAIN))
