"""List every case: what is written to a drive, and which outcomes its bytes allow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from cbi_assets_tests.fuzz.byte_mutations import CUTS, FLIPS, REPEATS, SWAPS, Mutation
from cbi_assets_tests.fuzz.good_jobs import (
    ENCODERS,
    KNOWN,
    OTHER_KNOWN,
    STEM,
    Row,
    encode,
    sidecars,
    with_manifest,
)
from cbi_assets_tests.fuzz.parquet_shapes import parquet_shapes
from cbi_assets_tests.fuzz.record_values import odd_csv, odd_json, with_values
from cbi_assets_tests.fuzz.sidecar_shapes import (
    OBJECTS,
    broken_conditions,
    broken_manifests,
    broken_metadata,
    broken_symbology,
)
from cbi_assets_tests.fuzz.special_files import PLACES, bombs, containers

Files = dict[str, bytes]
Write = Callable[[Path, Random], None]

REFUSED: Final = frozenset({"refused"})
NAMED: Final = frozenset({"refused", "whole", "short"})
BYTES: Final = NAMED | {"other"}
NEUTRAL: Final = BYTES | {"ignored"}


@dataclass(frozen=True)
class Case:
    """One mutated job. `write` puts it into an empty folder.

    `known` are the rows of the unmutated bars: nothing else may be published, unless
    `reads_bytes`: then it is what the strict reader finds in the folder's files. `must_fail` says
    that exit status 0 is wrong whatever was loaded.
    """

    kind: str
    name: str
    write: Write
    allowed: frozenset[str]
    known: frozenset[Row] = KNOWN
    reads_bytes: bool = False
    must_fail: bool = False


def all_cases(seed: int) -> list[Case]:
    """Return every case; `seed` decides where bytes are flipped, cut and swapped."""
    rng = Random(f"{seed} values")
    cases = [
        *_intact(),
        *_mutated_bytes(),
        *_swapped_and_repeated_files(),
        *_broken_sidecars(),
        *_records(rng),
        *_places(),
        *_containers(),
    ]
    names = [case.name for case in cases]
    assert len(names) == len(set(names)), sorted(n for n in names if names.count(n) > 1)
    return cases


def sample(cases: Sequence[Case], count: int, seed: int) -> list[Case]:
    """Return about `count` of the cases, in the same proportion of each kind."""
    by_kind: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_kind[case.kind].append(case)
    share = min(1.0, count / len(cases))
    chosen: list[Case] = []
    for kind, own in by_kind.items():
        chosen += Random(f"{seed} {kind}").sample(own, max(1, round(share * len(own))))
    return chosen


def _job(suffix: str) -> Files:
    """Return an intact job's data and sidecars, but no manifest; a zip contains its own."""
    data = {f"{STEM}.{suffix}": encode(suffix)}
    return data if suffix.endswith("zip") else data | sidecars()


def _put(files: Files) -> Write:
    def write(folder: Path, rng: Random) -> None:
        for name, data in files.items():
            (folder / name).write_bytes(data)

    return write


def _intact() -> Iterator[Case]:
    for suffix in ENCODERS:
        # Whether gzip is read or refused is the product's choice.
        allowed = NAMED if suffix == "csv.gz" else frozenset({"whole"})
        yield Case("intact", f"intact/{suffix}", _put(with_manifest(_job(suffix))), allowed)
        yield Case("intact", f"intact, no manifest/{suffix}", _put(_job(suffix)), allowed)


def _mutated_bytes() -> Iterator[Case]:
    every = {"flip": FLIPS, "cut": CUTS, "swap": SWAPS, "repeat": REPEATS}
    for kind, mutations in every.items():
        for label, mutation in mutations.items():
            for suffix in ENCODERS:
                for is_listed in (True, False):
                    yield _mutated(kind, label, mutation, suffix, is_listed)


def _mutated(kind: str, label: str, mutation: Mutation, suffix: str, is_listed: bool) -> Case:
    files = _job(suffix)
    data_name = next(iter(files))
    is_zip = suffix.endswith("zip")

    def write(folder: Path, rng: Random) -> None:
        mutated = mutation(files[data_name], rng)
        assert mutated != files[data_name]
        before = with_manifest(files) if is_listed and not is_zip else files
        _put(before | {data_name: mutated})(folder, rng)

    if is_zip:
        # The manifest is inside the zip; a changed byte that no member consists of changes no bar.
        return Case(
            f"{kind}, listed", f"{kind}/{label}/{suffix}/{'a' if is_listed else 'b'}", write, NAMED
        )
    if is_listed:
        return Case(f"{kind}, listed", f"{kind}/{label}/{suffix}/listed", write, REFUSED)
    return Case(kind, f"{kind}/{label}/{suffix}", write, BYTES, reads_bytes=True)


def _swapped_and_repeated_files() -> Iterator[Case]:
    both = KNOWN | OTHER_KNOWN
    for suffix in ENCODERS:
        if suffix.endswith("zip"):
            continue
        first, second = f"{STEM}.{suffix}", f"{STEM}.second.{suffix}"
        files = _job(suffix) | {second: encode(suffix, other=True)}
        swapped = {first: files[second], second: files[first]}
        with_sidecar = {first: files["metadata.json"], "metadata.json": files[first]}
        twice = {f"{STEM}.again.{suffix}": files[first]}
        listed = with_manifest(files)
        yield Case(
            "swap, listed", f"swap/contents/{suffix}/listed", _put(listed | swapped), REFUSED, both
        )
        yield Case("swap", f"swap/contents/{suffix}", _put(files | swapped), BYTES, both)
        allowed = NAMED  # the second file is intact
        yield Case(
            "swap, listed",
            f"swap/with a sidecar/{suffix}/listed",
            _put(listed | with_sidecar),
            allowed,
            OTHER_KNOWN,
            must_fail=True,
        )
        yield Case(
            "swap",
            f"swap/with a sidecar/{suffix}",
            _put(files | with_sidecar),
            allowed,
            both,
            must_fail=True,
        )
        yield Case(
            "repeat, listed", f"repeat/a file/{suffix}/listed", _put(listed | twice), NAMED, both
        )
        yield Case("repeat", f"repeat/a file/{suffix}", _put(files | twice), NAMED, both)
        yield Case(
            "cut, listed",
            f"cut/a file is absent/{suffix}/listed",
            _put({name: data for name, data in listed.items() if name != first}),
            NAMED,
            OTHER_KNOWN,
            must_fail=True,
        )


def _broken_sidecars() -> Iterator[Case]:
    files = _job("dbn.zst")
    listed = with_manifest(files)
    for label, text in broken_manifests(files):
        broken = files | {"manifest.json": text}
        yield Case("manifest", f"manifest.json/{label}", _put(broken), REFUSED)
    unnamed = _job("unnamed.json")
    shapes = {
        "metadata.json": (files, broken_metadata()),
        "symbology.json": (unnamed, broken_symbology()),
        "condition.json": (files, broken_conditions()),
    }
    for name, (job, texts) in shapes.items():
        for label, text in texts:
            broken = job | {name: text}
            yield Case("sidecar", f"{name}/{label}", _put(broken), NAMED)
            yield Case(
                "sidecar, listed", f"{name}/{label}/listed", _put(with_manifest(broken)), NAMED
            )
    for label, change in OBJECTS.items():
        yield Case(
            "manifest", f"manifest.json/{label}", _then(listed, "manifest.json", change), REFUSED
        )
        for name, (job, _) in shapes.items():
            write = _then(with_manifest(job), name, change)
            yield Case("sidecar, listed", f"{name}/{label}", write, NAMED)


def _then(files: Files, name: str, change: Callable[[Path], None]) -> Write:
    def write(folder: Path, rng: Random) -> None:
        _put(files)(folder, rng)
        change(folder / name)

    return write


def _records(rng: Random) -> Iterator[Case]:
    read = partial(Case, allowed=BYTES, reads_bytes=True)
    for encoding, odd in (("json", odd_json), ("csv", odd_csv)):
        for suffix in (encoding, f"raw.{encoding}"):
            files = _job(suffix)
            name = next(iter(files))
            for label, data in with_values(files[name], encoding, rng):
                yield read("value", f"value/{suffix}/{label}", _put(files | {name: data}))
            for label, data in odd(files[name]):
                yield read("layout", f"layout/{suffix}/{label}", _put(files | {name: data}))
    files = _job("parquet")
    name = next(iter(files))
    for label, data in parquet_shapes():
        yield read("layout", f"layout/parquet/{label}", _put(files | {name: data}))
    for suffix in ENCODERS:
        if not suffix.endswith("zip"):  # a name that promises nothing
            data = FLIPS["first byte to 0"](encode(suffix), rng)
            allowed = BYTES if suffix.endswith("csv.gz") else NEUTRAL
            yield Case(
                "neutral name",
                f"neutral name/{suffix}",
                _put({"data": data}),
                allowed,
                reads_bytes=True,
            )


def _places() -> Iterator[Case]:
    listed = with_manifest(_job("dbn.zst"))
    for label, place in PLACES.items():
        is_manifest = "manifest" in label
        files = _job("dbn.zst") if is_manifest else listed

        def write(
            folder: Path, rng: Random, files: Files = files, place: Callable[[Path], object] = place
        ) -> None:
            _put(files)(folder, rng)
            place(folder)

        allowed = REFUSED if is_manifest else frozenset({"whole"})
        yield Case("special file", f"special file/{label}", write, allowed)


def _containers() -> Iterator[Case]:
    for label, ending, make in containers():
        name = f"{STEM}.{ending}"
        data = make()
        allowed = NEUTRAL if label == "a zip of nothing" else BYTES
        yield Case("archive", f"archive/{label}", _put({name: data}), allowed, reads_bytes=True)
        files = with_manifest({name: data} | sidecars())
        yield Case(
            "archive, listed", f"archive/{label}/listed", _put(files), allowed, reads_bytes=True
        )
    for label, ending, place in bombs():

        def write(
            folder: Path, rng: Random, ending: str = ending, place: Callable[[Path], object] = place
        ) -> None:
            place(folder / f"{STEM}.{ending}")

        yield Case("bomb", f"bomb/{label}", write, NAMED, must_fail=True)
