"""Damaged sidecars: wrong contents, wrong names, and folders or links in their place."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cbi_assets_tests.fuzz.good_jobs import JOB, STEM, manifest_of, sidecars

_HALF = "\ud800"
_HUGE = 10**400

Document = dict[str, Any]


def _text(document: object) -> bytes:
    """Encode as JSON; infinity as the number that Python reads as infinity."""
    return json.dumps(document).replace("Infinity", "1e999").encode()


def broken_texts(good: bytes) -> dict[str, bytes]:
    """Return what any sidecar may be cut, overwritten or re-encoded to."""
    return {
        "empty": b"",
        "one byte": b"{",
        "cut in half": good[: len(good) // 2],
        "cut by one byte": good.rstrip()[:-1],
        "first byte lost": good[1:],
        "null": b"null",
        "a number": b"3",
        "a list": b"[]",
        "no keys": b"{}",
        "a list of lists": b"[[]]",
        "text after it": good + b"\n{}",
        "a trailing comma": good.rstrip()[:-1] + b",}",
        "not UTF-8": good.replace(b"G", b"\xff", 1),
        "UTF-16": good.decode().encode("utf-16"),
        "zeros": bytes(len(good)),
        "half zeros": good[: len(good) // 2] + bytes(len(good) // 2),
        "100,000 brackets": b"[" * 100_000,
        "100,000 objects": b'{"files":' * 100_000,
        "HTML": b"<!DOCTYPE html><html><body>403 Forbidden</body></html>",
    }


def broken_manifests(files: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield manifests of these files, each wrong in one way."""
    good = manifest_of(files)
    yield from broken_texts(_text(good)).items()

    def changed(change: Callable[[Document], object]) -> bytes:
        document = copy.deepcopy(good)
        change(document)
        return _text(document)

    def item(**fields: object) -> bytes:
        return changed(lambda document: document["files"][0].update(fields))

    def without(name: str) -> bytes:
        return changed(lambda document: document["files"][0].pop(name))

    yield "files is a number", changed(lambda d: d.update(files=3))
    yield "files is null", changed(lambda d: d.update(files=None))
    yield "files is an object", changed(lambda d: d.update(files={"0": d["files"][0]}))
    yield "no files", changed(lambda d: d.pop("files"))
    for label, value in (
        ("a number", 7),
        ("null", None),
        ("text", "x"),
        ("a list", []),
        ("empty", {}),
    ):
        yield f"an item is {label}", changed(lambda d, v=value: d["files"].append(v))
    for name in ("filename", "size", "hash"):
        yield f"an item without {name}", without(name)
    sizes = {
        "1e999": float("inf"), "negative": -1, "a fraction": 577.5, "text": "577", "true": True,
        "null": None, "of 400 digits": _HUGE, "a list": [577], "not a number": float("nan"),
    }  # fmt: skip
    for label, value in sizes.items():
        yield f"size {label}", item(size=value)
    digest = good["files"][0]["hash"]  # type: ignore[index]
    hashes = {
        "a number": 12, "null": None, "cut": digest[:-1], "md5": "md5:" + "0" * 32, "empty": "",
        "a list": [digest], "not hex": "sha256:" + "z" * 64, "half a surrogate": _HALF,
    }  # fmt: skip
    for label, value in hashes.items():
        yield f"hash {label}", item(hash=value)
    names = {
        "a number": 5, "null": None, "a list": ["x"], "empty": "", "with NUL": "a\0b",
        "outside": f"../{STEM}.dbn.zst", "half a surrogate": _HALF, "absent": "absent.dbn.zst",
    }  # fmt: skip
    for label, value in names.items():
        yield f"filename {label}", item(filename=value)
    ids = {"an object": {"id": JOB}, "a list": [JOB], "a number": 5, "half a surrogate": _HALF}
    for label, value in ids.items():
        yield f"job_id {label}", changed(lambda d, v=value: d.update(job_id=v))
    yield "size of another file", item(size=1)
    yield "hash of another file", item(hash="sha256:" + "0" * 64)
    twice = _text(good).replace(b'"size":', b'"size": 3, "size":', 1)
    yield "a key twice", twice
    other = dict(good["files"][0], size=1)  # type: ignore[index]
    yield "a file twice, differently", changed(lambda d: d["files"].append(other))


def broken_metadata() -> Iterator[tuple[str, bytes]]:
    """Yield wrong metadata.json files."""
    good = json.loads(sidecars()["metadata.json"])
    yield from broken_texts(_text(good)).items()
    for label, value in (("a number", 5), ("null", None), ("a list", []), ("an object", {}),
                         ("half a surrogate", _HALF), ("infinite", float("inf"))):  # fmt: skip
        yield f"dataset {label}", _text(good | {"query": good["query"] | {"dataset": value}})
        yield f"job_id {label}", _text(good | {"job_id": value})
    yield "no query", _text({"job_id": JOB})
    yield "query is a list", _text(good | {"query": ["GLBX.MDP3"]})
    yield "schema of an object", _text(good | {"query": good["query"] | {"schema": {}}})


def broken_symbology() -> Iterator[tuple[str, bytes]]:
    """Yield wrong symbology.json files."""
    good = json.loads(sidecars()["symbology.json"])
    yield from broken_texts(_text(good)).items()

    def interval(**fields: object) -> bytes:
        document = copy.deepcopy(good)
        document["result"]["ZL.v.0"][0].update(fields)
        return _text(document)

    instruments = {
        "text": "abc", "1e999": float("inf"), "negative": "-1", "null": None, "a list": ["10"],
        "of 400 digits": str(_HUGE), "beyond 64 bits": str(2**64),
    }  # fmt: skip
    for label, value in instruments.items():
        yield f"an instrument {label}", interval(s=value)
    starts = {
        "impossible": "2025-13-01", "a number": 20250101, "null": None, "year 0": "0000-01-01",
        "after its end": "2031-01-01", "with a time": "2025-01-01T00:00:00Z",
    }  # fmt: skip
    for label, value in starts.items():
        yield f"a start {label}", interval(d0=value)
    for label, symbol in (
        ("half a surrogate", _HALF),
        ("empty", ""),
        ("with a newline", "ZL.v.0\n"),
    ):
        yield f"a symbol {label}", _text({"result": {symbol: good["result"]["ZL.v.0"]}})
    both = {"ZL.v.0": good["result"]["ZL.v.0"], "ZS.v.0": good["result"]["ZL.v.0"]}
    yield "two symbols of one instrument", _text({"result": both})
    for label, value in (("null", None), ("a number", 3), ("text", "x"), ("of numbers", [1])):
        yield f"intervals {label}", _text({"result": {"ZL.v.0": value}})
    yield "result is a list", _text({"result": [1]})


def broken_conditions() -> Iterator[tuple[str, bytes]]:
    """Yield wrong condition.json files."""
    day = {"date": "2025-01-06", "condition": "missing"}
    yield from broken_texts(_text([day])).items()
    for label, value in (
        ("impossible", "2025-02-30"),
        ("a number", 5),
        ("null", None),
        ("a list", [1]),
    ):
        yield f"a date {label}", _text([day | {"date": value}])
    yield "a condition of an object", _text([day | {"condition": {}}])
    yield "a day is text", _text(["2025-01-06"])


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def _large(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(3 << 30)  # sparse: it takes no room


def _rename(path: Path, name: str) -> None:
    path.rename(path.with_name(name))


OBJECTS: dict[str, Callable[[Path], None]] = {
    "a directory": lambda path: _replace(path, Path.mkdir),
    "a link to nowhere": lambda path: _replace(path, lambda p: p.symlink_to("nowhere")),
    "a link to itself": lambda path: _replace(path, lambda p: p.symlink_to(p.name)),
    "a link to a folder": lambda path: _replace(path, lambda p: p.symlink_to("/")),
    "a named pipe": lambda path: _replace(path, os.mkfifo),
    "an endless device": lambda path: _replace(path, lambda p: p.symlink_to("/dev/zero")),
    "3 GiB long": lambda path: _replace(path, _large),
    "capitalised": lambda path: _rename(path, path.name.capitalize()),
    "in capitals": lambda path: _rename(path, path.name.upper()),
    "with a capital ending": lambda path: _rename(path, f"{path.stem}.JSON"),
}
"""What a sidecar may be other than a file of its name; each changes the given one in place."""
