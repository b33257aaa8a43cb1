"""Where downloads go on the drive, and whether it can take them: checked before buying."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from cbi_assets.config.settings import Settings
from cbi_assets.errors import UsageError
from cbi_assets.formatting import size


def drive_folder(settings: Settings) -> Path:
    """Return the drive's root. Raises UsageError if no drive is set or mounted."""
    if settings.cbi_drive is None:
        raise UsageError(
            "not set. Nothing was bought",
            subject="CBI_DRIVE",
            remedy="Set it to the external drive's root, e.g. in .env.",
        )
    drive = settings.cbi_drive.expanduser()
    if not drive.is_dir():
        raise UsageError(
            "no such folder. Nothing was bought",
            subject=f"CBI_DRIVE={drive}",
            remedy="Is the drive mounted?",
        )
    return drive


def raw_folder(drive: Path) -> Path:
    """Return the folder for downloads: `TrainingData/raw` if the drive has a `TrainingData`, else
    `raw`."""
    training = drive / "TrainingData"
    return (training if training.is_dir() else drive) / "raw"


def root_folder(raw: Path, root: str) -> Path:
    """Return the folder for one root's jobs."""
    return raw / f"databento_{root.lower()}"


def free_bytes(drive: Path | None) -> int | None:
    """Return the free bytes on the drive, None if it is not mounted."""
    return shutil.disk_usage(drive).free if drive is not None and drive.is_dir() else None


def require_writable(raw: Path, roots: Iterable[str]) -> None:
    """Raise UsageError if files of these roots cannot be written. Leaves no trace."""
    for root in sorted(set(roots)):
        folder = root_folder(raw, root)
        created: list[Path] = []
        try:
            for parent in (*reversed(folder.parents), folder):
                if not parent.exists():
                    parent.mkdir()
                    created.append(parent)
            with tempfile.TemporaryFile(dir=folder, prefix=".cbi-") as probe:
                probe.write(b"\0")
        except OSError as error:
            raise UsageError(
                f"{folder} cannot be written ({error.strerror}). Nothing was bought",
                subject="CBI_DRIVE",
                remedy="Mount the drive writable, or fix its permissions.",
            ) from None
        finally:
            for parent in reversed(created):
                parent.rmdir()


def require_space(raw: Path, nbytes: int) -> None:
    """Raise UsageError if the drive has less than `nbytes` free."""
    existing = next(folder for folder in (raw, *raw.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < nbytes:
        raise UsageError(
            f"{size(free)} free on {existing}, and the files may need {size(nbytes)}",
            subject="CBI_DRIVE",
            remedy="Free space, then retry.",
        )
