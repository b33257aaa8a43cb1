"""Read the files next to a job's data: manifest, metadata, symbology, condition."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from cbi_assets.drive.conditions import ConditionRun, parse_conditions, runs_of
from cbi_assets.drive.faults import is_fault_of_file, reason_of
from cbi_assets.drive.grammar import MAX_INT64, unique_keys
from cbi_assets.drive.lookalikes import is_named_like_bars
from cbi_assets.drive.mappings import SYMBOLOGIES, mappings_of_csv, mappings_of_json
from cbi_assets.drive.streams import DOWNLOAD_AGAIN
from cbi_assets.errors import CbiError, SourceError
from cbi_assets.formatting import printable

MANIFEST: Final = "manifest.json"
CONDITION: Final = "condition.json"

_MAX_TEXT: Final = 255
"""Characters of a name of a file, a job or a dataset."""

_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")
_JOB_ID = re.compile(r"^[A-Z0-9]+-\d{8}-[A-Z0-9]{10}$")


@dataclass(frozen=True)
class Digest:
    """Size in bytes and sha256 of a file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Sidecars:
    """What the sidecars of one job folder say; absent parts are empty.

    `symbologies`, by file name, have one row per interval: instrument_id, d0 and d1 (half-open,
    UTC), mapped_symbol.
    `damage` says why the job's manifest cannot be read whole: nothing of the job loads then, unless
    a person accepts it.
    """

    job_id: str | None = None
    dataset: str | None = None
    schema: str | None = None
    covers: tuple[int | None, int | None] = (None, None)  # what was requested, in microseconds
    listed: Mapping[str, Digest] = field(default_factory=dict)
    symbologies: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    conditions: tuple[ConditionRun, ...] = ()
    damage: str = ""
    is_job: bool = False  # whether the names in the folder are those of a job
    problems: Mapping[str, str] = field(default_factory=dict)  # ignored sidecars, by file name
    refused: Mapping[str, str] = field(default_factory=dict)  # those that differ from the manifest
    unreadable: frozenset[str] = frozenset()  # those that the system could not read
    digests: Mapping[str, Digest] = field(default_factory=dict)

    @property
    def mappings(self) -> pl.DataFrame | None:
        """The symbol mappings that name records: those of symbology.json, else of symbology.csv."""
        return next((self.symbologies[n] for n in SYMBOLOGIES if n in self.symbologies), None)

    def verify(self, name: str, found: Digest) -> None:
        """Compare a file with the manifest. Raises SourceError if that lists other bytes."""
        listed = self.listed.get(name)
        if listed is not None:
            _compare(listed, found)


def _compare(listed: Digest, found: Digest) -> None:
    if listed.size != found.size:
        raise SourceError(
            f"{found.size} bytes, but manifest.json lists {listed.size}", remedy=DOWNLOAD_AGAIN
        )
    if listed.sha256 != found.sha256:
        raise SourceError(
            "its sha256 differs from the one in manifest.json: the bytes were changed or damaged",
            remedy=DOWNLOAD_AGAIN,
        )


def job_of(path: str) -> str | None:
    """Return the job id that the nearest folder (or zip) on `path` is named by, if any."""
    for part in reversed(path.replace("!/", "/").split("/")):
        name = part.removesuffix(".zip")
        if _JOB_ID.match(name):
            return name
    return None


def accept_remedy(job: str) -> str:
    """Return what to do about a job whose manifest is damaged. `job` is its id or its folder."""
    command = f"cbi accept --job {shlex.quote(job)} --by NAME --why TEXT"
    return f"Download it again, or take the job as it is with `{command}`."


def is_manifest(name: str) -> bool:
    """Whether a name is `manifest.json`, or another spelling of it."""
    return name.strip().casefold() == MANIFEST


def is_sidecar(name: str) -> bool:
    """Whether a name is that of a sidecar."""
    return name in SIDECARS or is_manifest(name)


def manifest_folders(paths: Iterable[str]) -> dict[str, str]:
    """Return the damage of manifests that are folders, by their path, from the paths in them."""
    damage: dict[str, str] = {}
    for path in paths:
        if MANIFEST not in path.casefold():
            continue
        parts = path.split("/")
        for n, part in enumerate(parts[:-1]):
            if is_manifest(part):
                damage.setdefault("/".join(parts[: n + 1]), f"{printable(part)} is a folder")
    return damage


def read_sidecars(names: Iterable[str], read: Callable[[str], bytes], damage: str = "") -> Sidecars:
    """Read the sidecars among `names` with `read(name)`.

    A manifest that cannot be read whole is `damage`; a sidecar that differs from the manifest is
    `refused`, and any other invalid one is named in `problems`. The rest still counts.
    """
    present = set(names)
    renamed = sorted(name for name in present if is_manifest(name) and name != MANIFEST)
    if renamed:
        name = printable(renamed[0])
        damage = damage or f"{name} is a manifest under another name. Rename it to {MANIFEST}"
    parts: dict[str, Any] = {}
    symbologies: dict[str, pl.DataFrame] = {}
    problems: dict[str, str] = {}
    refused: dict[str, str] = {}
    unreadable: set[str] = set()
    digests: dict[str, Digest] = {}
    listed: Mapping[str, Digest] = {}
    for name in (*renamed, *SIDECARS):
        if name not in present:
            continue
        try:
            data = read(name)
            digests[name] = digest = Digest(len(data), hashlib.sha256(data).hexdigest())
            if name in renamed:
                continue
            if name in listed:
                _compare(listed[name], digest)
            found = _PARSERS[name](_document(name, data))
            if name in SYMBOLOGIES:
                symbologies[name] = found.pop("mappings")
            parts |= {key: value for key, value in found.items() if value is not None}
            listed = parts.get("listed", listed)
        except BaseException as error:
            if not is_fault_of_file(error):
                raise
            if isinstance(error, OSError):
                unreadable.add(name)
            reason = reason_of(error)
            if name == MANIFEST:
                damage = damage or reason
            elif name in listed and isinstance(error, (CbiError, OSError)):
                refused[name] = reason
            else:
                problems[name] = f"{name} is not what Databento writes ({reason}): it was ignored"
    return Sidecars(
        damage=damage,
        is_job=any(map(_is_of_job, present)),
        problems=problems,
        refused=refused,
        unreadable=frozenset(unreadable),
        digests=digests,
        symbologies=symbologies,
        **parts,
    )


def _is_of_job(name: str) -> bool:
    is_other_sidecar = name in SIDECARS and name != MANIFEST
    return is_other_sidecar or is_named_like_bars(name) or name.endswith((".csv", ".zst"))


def _document(name: str, data: bytes) -> Any:
    text = data.decode("utf-8-sig")  # json.loads would also read bytes in UTF-16 or UTF-32.
    return text if name.endswith(".csv") else json.loads(text, object_pairs_hook=unique_keys)


def _manifest(document: Any) -> dict[str, Any]:
    listed: dict[str, Digest] = {}
    for item in document["files"]:
        name, size = _text(item["filename"]), item["size"]
        sha256 = _SHA256.fullmatch(_text(item["hash"]))
        if not name or set("/\0") & set(name) or name in listed:
            raise ValueError(f"{name!r} is listed twice, or is not a file's name")
        if type(size) is not int or size < 0 or sha256 is None:
            raise ValueError(f"size or hash of {name!r} is malformed")
        listed[name] = Digest(size, sha256[1])
    if not listed:
        raise ValueError("it lists no file")
    return {"job_id": _job_id(document), "listed": listed}


def _metadata(document: Any) -> dict[str, Any]:
    query = document["query"]
    schema = query.get("schema")
    return {
        "job_id": _job_id(document),
        "dataset": _text(query["dataset"]),
        "schema": None if schema is None else _text(schema),
        "covers": (micros_of(query.get("start")), micros_of(query.get("end"))),
    }


def micros_of(nanoseconds: Any) -> int | None:
    """Return nanoseconds since 1970 as microseconds, rounded up; None for what is no such time.

    A range that ends in the last nanosecond of a day ends with the day.
    """
    is_time = type(nanoseconds) is int and 0 < nanoseconds < MAX_INT64
    return -(-nanoseconds // 1_000) if is_time else None


def _symbology(document: Any) -> dict[str, Any]:
    return {"mappings": mappings_of_json(document["result"])}


def _symbology_csv(text: Any) -> dict[str, Any]:
    return {"mappings": mappings_of_csv(text)}


def _condition(document: Any) -> dict[str, Any]:
    return {"conditions": runs_of(parse_conditions(document))}


def _job_id(document: Any) -> str | None:
    job_id = document.get("job_id")
    return None if job_id is None else _text(job_id)


def _text(value: Any) -> str:
    """Return a text. Raises for any other type, for a long one and for half a surrogate pair."""
    if not isinstance(value, str):
        raise TypeError(f"a text is needed, not {type(value).__name__}")
    if len(value) > _MAX_TEXT:
        raise ValueError(f"a text of {len(value):,} characters")
    value.encode()
    return value


_PARSERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    MANIFEST: _manifest,
    "metadata.json": _metadata,
    "symbology.csv": _symbology_csv,
    "symbology.json": _symbology,
    CONDITION: _condition,
}
SIDECARS = tuple(_PARSERS)
