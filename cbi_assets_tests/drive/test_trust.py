"""Each file and job is verified, unverified, refused or ignored, by what its manifest proves."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cbi_assets.drive.inventory import as_json, by_folder, jobs_of, trusts_of
from cbi_assets.errors import UsageError
from cbi_assets.load.accept import Acceptance, AcceptScope, accept_files
from cbi_assets.load.load import inventory
from cbi_assets.session import Project, open_session
from cbi_assets_tests.drive.jobs import zip_of
from cbi_assets_tests.helpers import (
    JOB,
    NOW,
    bars,
    dbn_file,
    expected_rows,
    load_once,
    published,
    put_job,
    query,
    refusals,
    take_inventory,
    text_file,
)

RECORDS = bars(24)
GOOD = bars(5, symbol="ZS.v.0", price="1001.25")
GOOD_ROWS = expected_rows(GOOD, "ZS.v.0", "ZS")
AGAIN = "Download the file again."

Damage = Callable[[Path], object]


def edited(change: Callable[[Any], object]) -> Damage:
    """Return the damage of writing a manifest's document with a change."""

    def write(manifest: Path) -> None:
        document = json.loads(manifest.read_text())
        change(document)
        manifest.write_text(json.dumps(document))

    return write


def of_item(**values: object) -> Damage:
    return edited(lambda document: document["files"][0].update(values))


def rewritten(text: bytes) -> Damage:
    return lambda manifest: manifest.write_bytes(text)


def folder_instead(manifest: Path) -> None:
    manifest.unlink()
    manifest.mkdir()


def full_folder_instead(manifest: Path) -> None:
    folder_instead(manifest)
    (manifest / "notes.txt").write_bytes(b"no bars")


def link_to_nowhere(manifest: Path) -> None:
    manifest.unlink()
    manifest.symlink_to("nowhere.json")


def link_to_itself(manifest: Path) -> None:
    manifest.unlink()
    manifest.symlink_to(manifest.name)


def cut(manifest: Path) -> None:
    manifest.write_bytes(manifest.read_bytes()[:-20])


def renamed(manifest: Path) -> None:
    manifest.rename(manifest.with_name("Manifest.JSON"))


DAMAGES: dict[str, Damage] = {
    "cut": cut,
    "renamed": renamed,
    "empty folder": folder_instead,
    "full folder": full_folder_instead,
    "link to nowhere": link_to_nowhere,
    "link to itself": link_to_itself,
    "empty": rewritten(b""),
    "nul": rewritten(bytes(300)),
    "text": rewritten(b"<html>Link expired</html>"),
    "list": rewritten(b"[]"),
    "no files": rewritten(b"{}"),
    "files are a number": rewritten(b'{"files": 3}'),
    "no file": rewritten(b'{"files": []}'),
    "huge size": rewritten(b'{"files":[{"filename":"x","size":1e999,"hash":"sha256:0"}]}'),
    "nested": rewritten(b"[" * 100_000),
    "not UTF-8": rewritten(b'{"files": [{"filename": "\xff"}]}'),
    "item is null": edited(lambda document: document["files"].append(None)),
    "no hash": edited(lambda document: document["files"][0].pop("hash")),
    "no size": edited(lambda document: document["files"][0].pop("size")),
    "short hash": of_item(hash="sha256:00"),
    "other hash": of_item(hash="md5:" + "0" * 32),
    "hash in capitals": of_item(hash="sha256:" + "A" * 64),
    "size is text": of_item(size="17"),
    "size is true": of_item(size=True),
    "size below 0": of_item(size=-1),
    "size is a fraction": of_item(size=17.5),
    "name is a number": of_item(filename=3),
    "name with NUL": of_item(filename="a\0b"),
    "no name": of_item(filename=""),
    "path in place of a name": of_item(filename="../a.dbn"),
    "listed twice": edited(lambda document: document["files"].append(document["files"][0])),
    "name is half a character": of_item(filename="\ud800"),
    "job id is half a character": edited(lambda document: document.update(job_id="\udfff")),
    "size is infinite": of_item(size=float("inf")),
    "size is a list": of_item(size=[1]),
    "job id is a list": edited(lambda document: document.update(job_id=["x"])),
    "UTF-16": lambda manifest: manifest.write_text(manifest.read_text(), encoding="utf-16"),
    "key twice": lambda manifest: manifest.write_text(
        manifest.read_text().replace('"files"', '"files": [], "files"', 1)
    ),
}


def put_damaged(drive: Path, name: str, records: Any = GOOD) -> Path:
    folder = put_job(drive, {"a.dbn": dbn_file(records)}, job=name)
    DAMAGES[name](folder / "manifest.json")
    return folder


def test_damaged_manifest_refuses_its_job_and_no_other(project: Project, drive: Path) -> None:
    for name in DAMAGES:
        put_damaged(drive, name, RECORDS)
    put_job(drive, {"good.dbn": dbn_file(GOOD)})
    outcome = load_once(project)
    reasons = refusals(outcome)
    for name in DAMAGES:
        reason = reasons[f"{name}/a.dbn"]
        assert reason.startswith("its job's manifest.json is damaged ("), name
        # The job's id is that of its metadata.json, the name of the folder here.
        assert f"`cbi accept --job {shlex.quote(name)} --by NAME --why TEXT`." in reason
    manifests = [f for f in outcome.survey.refused if f.name.casefold() == "manifest.json"]
    assert sorted(file.folder for file in manifests) == sorted(DAMAGES)
    assert outcome.has_failures
    assert outcome.survey.unreadable == []
    assert published(project) == GOOD_ROWS
    trusts = {job.folder: job.trust for job in jobs_of(outcome.survey)}
    assert trusts == dict.fromkeys(DAMAGES, "refused") | {JOB: "verified"}
    again = load_once(project)
    assert again.survey.read == 0
    assert again.has_failures


def accept(
    project: Project, scope: AcceptScope, value: str, by: str = "Ann", why: str = "known good"
) -> Acceptance:
    with open_session(project, now=NOW) as session:
        return accept_files(session, inventory(session), scope, value, by=by, why=why)


ACCEPTED = ("cut", "renamed", "full folder", "link to nowhere")


def test_accepted_job_loads_unverified_and_on_record(project: Project, drive: Path) -> None:
    for n, name in enumerate(ACCEPTED):
        put_damaged(drive, name, GOOD[n : n + 1])
    zipped = put_job(drive, {"a.dbn": dbn_file(GOOD[4:])}, job="zipped")
    cut(zipped / "manifest.json")
    inside = {f"zipped/{path.name}": path.read_bytes() for path in zipped.iterdir()}
    for path in zipped.iterdir():
        path.unlink()
    (drive / "job.zip").write_bytes(zip_of(inside))
    assert load_once(project).published == 0
    for name in ACCEPTED:
        assert {file.name for file in accept(project, "job", name).files} >= {"a.dbn"}
    refused = load_once(project).survey.refused
    assert {file.folder for file in refused} == {"job.zip!/zipped"}
    accept(project, "job", "job.zip!/zipped")
    outcome = load_once(project)
    assert outcome.survey.refused == []
    assert not outcome.has_failures
    assert published(project) == GOOD_ROWS
    states = query(project, "SELECT DISTINCT trust FROM `ops.source_files`")
    assert states["trust"].to_list() == ["unverified"]
    rows = query(project, "SELECT path, accepted_by, why FROM `ops.acceptances`").rows()
    assert set(rows) >= {(f"{name}/a.dbn", "Ann", "known good") for name in ACCEPTED}
    assert load_once(project).survey.read == 0
    # An acceptance is of bytes: others under the same name are refused again.
    (drive / "cut" / "a.dbn").write_bytes(dbn_file(RECORDS))
    assert refusals(load_once(project)).keys() == {"cut/a.dbn"}
    assert published(project) == GOOD_ROWS


@pytest.mark.full
def test_acceptance_of_one_file_leaves_the_rest_of_the_job_refused(
    project: Project, drive: Path
) -> None:
    folder = put_job(drive, {"a.dbn": dbn_file(GOOD), "b.dbn": dbn_file(RECORDS)})
    cut(folder / "manifest.json")
    [a] = [f for f in take_inventory(project).files if f.name == "a.dbn"]
    assert a.source_file_id is not None
    assert [f.path for f in accept(project, "file", a.source_file_id[:12]).files] == [a.path]
    outcome = load_once(project)
    assert refusals(outcome).keys() == {f"{JOB}/b.dbn", f"{JOB}/manifest.json"}
    assert published(project) == GOOD_ROWS


def test_acceptance_overrules_nothing_but_a_damaged_manifest(project: Project, drive: Path) -> None:
    folder = put_job(drive, {"a.dbn": dbn_file(GOOD)})
    (folder / "a.dbn").write_bytes(dbn_file(RECORDS))
    put_damaged(drive, "cut", GOOD)
    for arguments, message in (
        (("job", JOB), f"--job {JOB}: it is refused for another reason, which no acceptance"),
        (("job", "nowhere"), "--job nowhere: no file of it is refused for a damaged manifest"),
        (("file", ""), "--file : no file of it"),
        (("job", "cut", " "), "--by: a name is needed"),
        (("job", "cut", "Ann", ""), "--why: a reason is needed"),
    ):
        with pytest.raises(UsageError) as raised:
            accept(project, *arguments)  # type: ignore[arg-type]
        assert str(raised.value).startswith(message)
    assert query(project, "SELECT * FROM `ops.acceptances`").is_empty()
    assert load_once(project).published == 0


def test_states_of_files_and_jobs_are_those_that_the_manifest_proves(
    project: Project, drive: Path
) -> None:
    put_job(drive, {"a.dbn": dbn_file(GOOD[:1])}, job="intact")
    mixed = put_job(drive, {"a.dbn": dbn_file(GOOD[1:2]), "b.dbn": dbn_file(GOOD)}, job="mixed")
    (mixed / "b.dbn").write_bytes(dbn_file(RECORDS))
    extra = put_job(drive, {"a.dbn": dbn_file(GOOD[2:3])}, job="extra")
    (extra / "b.dbn").write_bytes(dbn_file(GOOD[3:4]))
    lacking = put_job(drive, {"a.dbn": dbn_file(GOOD[:1]), "b.dbn": dbn_file(GOOD)}, job="lacking")
    (lacking / "b.dbn").unlink()
    (drive / "notes.txt").write_bytes(b"no bars")
    (drive / "alone").mkdir()
    (drive / "alone" / "a.dbn").write_bytes(dbn_file(GOOD[4:]))
    # A web page's manifest is not one of a job.
    (drive / "page").mkdir()
    (drive / "page" / "manifest.json").write_bytes(b'{"name": "page", "icons": []}')
    (drive / "page" / "index.html").write_bytes(b"<html>")
    outcome = load_once(project)
    document = as_json(outcome.survey)
    found = {
        file["path"]: file["trust"] for file in document["files"] if file["verdict"] != "sidecar"
    }
    assert found == {
        "intact/a.dbn": "verified",
        "mixed/a.dbn": "verified",
        "mixed/b.dbn": "refused",
        "extra/a.dbn": "verified",
        "extra/b.dbn": "unverified",
        "lacking/a.dbn": "verified",
        "lacking/b.dbn": "refused",
        "alone/a.dbn": "unverified",
        "notes.txt": "ignored",
        "page/index.html": "ignored",
    }
    assert {job["job"]: job["trust"] for job in document["jobs"]} == {
        "intact": "verified",
        "mixed": "refused",
        "extra": "unverified",
        "lacking": "refused",
        "alone": "unverified",
    }
    counts = {"verified": 4, "unverified": 2, "refused": 2, "ignored": 2}
    assert document["trust"] == trusts_of(outcome.survey) == counts
    shown = {row.folder: row.trust for row in by_folder(outcome.survey)}
    assert shown["extra"] == "1 unverified, 1 verified"
    absent = {file.path: file.reason for file in outcome.survey.lacking}
    assert absent == {"lacking/b.dbn": f"manifest.json lists it, but it is not there. {AGAIN}"}
    assert outcome.has_failures
    assert published(project) == GOOD_ROWS


def test_sidecar_that_differs_from_the_manifest_is_refused_and_not_used(
    project: Project, drive: Path
) -> None:
    nasdaq = put_job(drive, {"good.json": text_file(GOOD)})
    metadata = (nasdaq / "metadata.json").read_text()
    # The bars would be of another dataset if the edited sidecar were used.
    (nasdaq / "metadata.json").write_text(metadata.replace("GLBX.MDP3", "XNAS.ITCH"))
    reasons = refusals(load_once(project))
    assert reasons.keys() == {f"{JOB}/metadata.json"}
    assert reasons[f"{JOB}/metadata.json"].startswith("its sha256 differs")
    assert published(project) == GOOD_ROWS


@pytest.mark.full
def test_file_lost_from_a_zipped_job_is_refused(project: Project, drive: Path) -> None:
    folder = put_job(drive, {"a.dbn": dbn_file(GOOD), "b.dbn": dbn_file(RECORDS)})
    inside = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "b.dbn"}
    for path in folder.iterdir():
        path.unlink()
    (drive / "job.zip").write_bytes(zip_of(inside))
    outcome = load_once(project)
    assert [file.path for file in outcome.survey.refused] == ["job.zip!/b.dbn"]
    assert published(project) == GOOD_ROWS
