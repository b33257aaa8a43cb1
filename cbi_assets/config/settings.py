"""Settings from the environment or a `.env` file, and the paths inside a home."""

from __future__ import annotations

import ipaddress
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cbi_assets.errors import HomeError, UsageError
from cbi_assets.files import write_atomically

WarehouseName = Literal["duckdb", "bigquery"]

# DuckDB and SQLite read options after a question mark, and DuckDB takes a backslash for a slash.
_NOT_IN_HOME = re.compile(r"[?*%\\\x00-\x1f\x7f]")
_HOME_NAME = re.compile(r"[0-9a-f]{8}")


class Settings(BaseSettings):
    """Every setting, named as in the environment with its `CBI_` prefix."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore")

    cbi_home: Path = Field(default=Path(".cbi"), description="all state")
    cbi_drive: Path | None = Field(
        default=None,
        description="root of the external drive; only cbi download writes to it",
    )
    cbi_staging: Path | None = Field(
        default=None, description="staging Parquet files (default: $CBI_DRIVE/TrainingData/staging)"
    )
    cbi_warehouse: WarehouseName = "duckdb"
    cbi_bq_project: str | None = None
    cbi_bq_location: str = "us-central1"
    cbi_bq_credentials: Path | None = Field(
        default=None, description="JSON key of a service account (default: application-default)"
    )
    cbi_bq_max_bytes_billed: int = Field(
        default=10 * 2**30, gt=0, description="most bytes that one query may be billed for"
    )
    cbi_bq_bucket: str | None = Field(
        default=None,
        description="bucket for uploads above 64 MiB (default: upload through the client)",
    )
    cbi_bq_timeout: float = Field(
        default=120.0, gt=0, description="timeout of requests, in seconds"
    )
    cbi_bq_patience: float = Field(
        default=600.0, gt=0, description="how long transient errors are retried, in seconds"
    )
    cbi_bq_endpoint: str | None = Field(default=None, description="emulator on loopback")
    cbi_bq_storage_endpoint: str | None = Field(
        default=None, description="Storage Read API of the emulator, host:port on loopback"
    )
    cbi_bq_bucket_endpoint: str | None = Field(
        default=None, description="emulated bucket on loopback"
    )
    databento_api_key: SecretStr | None = None
    cbi_databento_endpoint: str | None = Field(
        default=None, description="test server instead of Databento, http:// on loopback"
    )
    cbi_alert_urls: SecretStr | None = Field(
        default=None, description="Apprise URLs that alerts are sent to, separated by spaces"
    )
    cbi_alert_free_gib: float = Field(
        default=5.0, ge=0, description="send an alert if home or drive has fewer GiB free"
    )

    @field_validator("cbi_home")
    @classmethod
    def _check_home(cls, home: Path) -> Path:
        try:
            found = _NOT_IN_HOME.search(str(home.expanduser().absolute()))
        except RuntimeError as error:  # ~NAME of an unknown user
            raise ValueError(str(error)) from None
        if found:
            raise ValueError(f"its path contains {found[0]!r}, which the databases cannot open")
        return home

    @property
    def staging(self) -> Path | None:
        """The staging folder, None if neither it nor a drive is set."""
        if self.cbi_staging is not None:
            return self.cbi_staging
        return self.cbi_drive / "TrainingData" / "staging" if self.cbi_drive else None

    @property
    def home(self) -> Home:
        """The paths inside `CBI_HOME`."""
        return Home(self.cbi_home.expanduser().absolute())

    def environment(self) -> dict[str, str]:
        """Return the settings as environment variables for a child process, paths absolute."""
        values: dict[str, str] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            elif isinstance(value, Path):
                value = value.expanduser().absolute()
            if value is not None:
                values[name.upper()] = str(value)
        return values

    def shown(self) -> dict[str, str | None]:
        """Return every setting by its environment name, secrets masked."""
        rows: dict[str, str | None] = {}
        for name in type(self).model_fields:
            value = self.staging if name == "cbi_staging" else getattr(self, name)
            if isinstance(value, SecretStr):
                value = "********"
            rows[name.upper()] = None if value is None else str(value)
        return rows


def load_settings() -> Settings:
    """Read the settings. Raises UsageError that names every wrong setting."""
    try:
        return Settings()
    except ValidationError as error:
        problems = (
            f"{'.'.join(str(part) for part in item['loc']).upper()}: "
            f"{item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        )
        raise UsageError(
            "; ".join(problems), remedy="Correct it in the environment or in .env."
        ) from None


def is_loopback(endpoint: str) -> bool:
    """Return whether an endpoint, with or without a scheme, is a loopback address."""
    host = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}").hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Home:
    """The layout of `CBI_HOME`."""

    root: Path

    @property
    def warehouse(self) -> Path:
        """The DuckDB warehouse."""
        return self.root / "warehouse.duckdb"

    @property
    def read_copy(self) -> Path:
        """The readers' copy of the DuckDB warehouse, replaced when that has changed."""
        return self.root / "read" / "warehouse.duckdb"

    @property
    def previous_read_copy(self) -> Path:
        """The readers' copy before the current one; safe to delete."""
        return self.read_copy.with_name(".previous.duckdb")

    @property
    def landing(self) -> Path:
        """Canonical Parquet files, content-addressed."""
        return self.root / "landing"

    @property
    def catalog(self) -> Path:
        """The catalog of files read from the drive, so that each is read once."""
        return self.root / "catalog.sqlite"

    @property
    def translations(self) -> Path:
        """SQL as translated for DuckDB; safe to delete."""
        return self.root / "translations.txt"

    @property
    def wanted(self) -> Path:
        """Which wanted trade dates are missing, as last compared; safe to delete."""
        return self.root / "wanted.txt"

    @property
    def scratch(self) -> Path:
        """Spill files and unfinished files; safe to delete while nothing runs."""
        return self.root / "tmp"

    @property
    def dagster(self) -> Path:
        """`DAGSTER_HOME`: the instance's SQLite files, logs and `dagster.yaml`."""
        return self.root / "dagster"

    @property
    def lock(self) -> Path:
        """Locked by the one process that lands bars or writes to the warehouse."""
        return self.root / "home.lock"

    @property
    def pending(self) -> Path:
        """The partitions whose changes are not reported to Dagster yet."""
        return self.root / "unreported.json"

    @property
    def plans(self) -> Path:
        """Download plans, named by their hash."""
        return self.root / "plans"

    @property
    def alerts(self) -> Path:
        """The alerts sent so far. Safe to delete: current alerts are then sent again."""
        return self.root / "alerts.json"

    @property
    def identity(self) -> Path:
        """The name of this home in a shared warehouse."""
        return self.root / "home.id"

    def identify(self) -> str:
        """Return this home's name, eight hex digits; the first call creates it.

        Raises HomeError if its file contains anything else.
        """
        if not self.identity.exists():
            write_atomically(self.identity, uuid.uuid4().hex[:8] + "\n")
        name = self.identity.read_text(errors="replace").strip()
        if not _HOME_NAME.fullmatch(name):
            raise HomeError(
                "damaged (not eight hex digits)",
                subject=str(self.identity),
                remedy="Put its backup in its place (docs/operations.md).",
                code="damaged",
            )
        return name

    @property
    def standing_key(self) -> Path:
        """The secret that seals standing approvals; created by the first one, mode 600."""
        return self.root / "standing.key"

    @property
    def standing_head(self) -> Path:
        """Which row of ops.standing_approvals is the newest, sealed."""
        return self.root / "standing.head"

    @property
    def demo_mark(self) -> Path:
        """Exists in a demo's home only, which accepts synthetic bars and no others."""
        return self.root / "DEMO"

    @property
    def is_demo(self) -> bool:
        """Whether this home belongs to `cbi demo`."""
        return self.demo_mark.exists()

    def create(self) -> None:
        """Create the folders that every run needs."""
        for folder in (self.root, self.landing, self.scratch, self.dagster):
            folder.mkdir(parents=True, exist_ok=True)
