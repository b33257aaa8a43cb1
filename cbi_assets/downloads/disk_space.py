"""Where downloads go on the drive, and whether they can: told before anything is bought."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from cbi_assets.config.settings import Settings
from cbi_assets.errors import UsageError


def raw_folder(settings: Settings) -> Path:
    """The folder that downloads go to: `TrainingData/raw` where the drive has a `TrainingData`,
    else `raw`. Raises UsageError where no drive is set or mounted."""
    if settings.cbi_drive is None:
        raise UsageError(
            "CBI_DRIVE is not set: name the external drive's root, e.g. in .env. "
            "Nothing was bought."
        )
    drive = settings.cbi_drive.expanduser()
    if not drive.is_dir():
        raise UsageError(
            f"CBI_DRIVE={drive}: no such folder. Is the drive mounted? Nothing was bought."
        )
    training = drive / "TrainingData"
    return (training if training.is_dir() else drive) / "raw"


def root_folder(raw: Path, root: str) -> Path:
    """The folder of one root's jobs."""
    return raw / f"databento_{root.lower()}"


def require_writable(raw: Path, roots: Iterable[str]) -> None:
    """Raise UsageError where the drive would not take the files of these roots. Leaves nothing."""
    for root in sorted(set(roots)):
        folder = root_folder(raw, root)
        made: list[Path] = []
        try:
            for parent in (*reversed(folder.parents), folder):
                if not parent.exists():
                    parent.mkdir()
                    made.append(parent)
            with tempfile.TemporaryFile(dir=folder, prefix=".cbi-") as probe:
                probe.write(b"\0")
        except OSError as error:
            raise UsageError(
                f"CBI_DRIVE: {folder} cannot be written ({error.strerror}). Mount the drive "
                "writable, or mend its permissions. Nothing was bought."
            ) from None
        finally:
            for parent in reversed(made):
                parent.rmdir()


def require_room(raw: Path, nbytes: int) -> None:
    """Raise UsageError where the drive has less than `nbytes` free for the files to come."""
    there = next(folder for folder in (raw, *raw.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < nbytes:
        raise UsageError(
            f"CBI_DRIVE: {free / 1e6:,.1f} MB free on {there}, and the files to come may take "
            f"{nbytes / 1e6:,.1f} MB. Make room, then run this again."
        )
