"""Settings from the environment or a `.env` file, and where the state of a home lies."""

from __future__ import annotations

import ipaddress
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from cbi_assets.errors import UsageError

WarehouseName = Literal["duckdb", "bigquery"]


class Settings(BaseSettings):
    """Everything a user can set. Names are those of the environment, `CBI_` prefix included."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore")

    cbi_home: Path = Field(default=Path(".cbi"), description="all state")
    cbi_drive: Path | None = Field(
        default=None,
        description="the external drive's root, read-only but for cbi download's folders",
    )
    cbi_staging: Path | None = Field(
        default=None, description="staging Parquet files (default: $CBI_DRIVE/TrainingData/staging)"
    )
    cbi_warehouse: WarehouseName = "duckdb"
    cbi_bq_project: str | None = None
    cbi_bq_location: str = "us-central1"
    cbi_bq_credentials: Path | None = Field(
        default=None, description="a service account's JSON key (default: application-default)"
    )
    cbi_bq_max_bytes_billed: int = Field(
        default=10 * 2**30, gt=0, description="what a query may be billed, bytes"
    )
    cbi_bq_bucket: str | None = Field(
        default=None,
        description="a bucket for uploads above 64 MiB (default: the client sends them)",
    )
    cbi_bq_timeout: float = Field(default=120.0, gt=0, description="seconds a request may take")
    cbi_bq_patience: float = Field(
        default=600.0, gt=0, description="seconds that passing errors are retried"
    )
    cbi_bq_endpoint: str | None = Field(default=None, description="an emulator on loopback")
    cbi_bq_storage_endpoint: str | None = Field(
        default=None, description="the emulator's Storage Read API, host:port on loopback"
    )
    cbi_bq_bucket_endpoint: str | None = Field(
        default=None, description="an emulated bucket on loopback"
    )
    databento_api_key: SecretStr | None = None
    cbi_databento_endpoint: str | None = Field(
        default=None, description="a test server in Databento's place, http:// on loopback"
    )
    cbi_alert_urls: SecretStr | None = Field(
        default=None, description="where alerts go: Apprise URLs, separated by blanks"
    )
    cbi_alert_free_gib: float = Field(
        default=5.0, ge=0, description="free GiB of home or drive below which it is an alert"
    )

    @property
    def staging(self) -> Path | None:
        """The staging folder, or None where neither it nor a drive is set."""
        if self.cbi_staging is not None:
            return self.cbi_staging
        return self.cbi_drive / "TrainingData" / "staging" if self.cbi_drive else None

    @property
    def home(self) -> Home:
        """The paths inside `CBI_HOME`."""
        return Home(self.cbi_home.expanduser().absolute())

    def environment(self) -> dict[str, str]:
        """The settings as environment variables for a child process, paths absolute."""
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
        """Every setting by its environment name; secrets masked."""
        rows: dict[str, str | None] = {}
        for name in type(self).model_fields:
            value = self.staging if name == "cbi_staging" else getattr(self, name)
            if isinstance(value, SecretStr):
                value = "********"
            rows[name.upper()] = None if value is None else str(value)
        return rows


def load_settings() -> Settings:
    """Read the settings. Raises UsageError with one line a wrong setting."""
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
            for item in error.errors()
        ]
        remedy = "Correct it in the environment or in .env."
        raise UsageError("; ".join(lines), remedy=remedy) from None


def is_loopback(endpoint: str) -> bool:
    """Whether an endpoint, with or without a scheme, is an address of this machine's loopback."""
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
    def landing(self) -> Path:
        """Canonical Parquet packs, content-addressed."""
        return self.root / "landing"

    @property
    def catalog(self) -> Path:
        """What was read from the drive, so that it is read once."""
        return self.root / "catalog.sqlite"

    @property
    def scratch(self) -> Path:
        """Spill and half-written files; safe to delete while nothing runs."""
        return self.root / "tmp"

    @property
    def dagster(self) -> Path:
        """`DAGSTER_HOME`: the instance's SQLite files, logs and `dagster.yaml`."""
        return self.root / "dagster"

    @property
    def lock(self) -> Path:
        """Held by the one process that lands or writes."""
        return self.root / "home.lock"

    @property
    def plans(self) -> Path:
        """Download plans, each by its hash."""
        return self.root / "plans"

    @property
    def alerts(self) -> Path:
        """What was told to whom; safe to delete: what stands is told once more."""
        return self.root / "alerts.json"

    @property
    def identity(self) -> Path:
        """The name by which a shared warehouse knows this home."""
        return self.root / "home.id"

    def identify(self) -> str:
        """This home's own name, eight hex digits, made up at the first call."""
        if not self.identity.exists():
            self.root.mkdir(parents=True, exist_ok=True)
            self.identity.write_text(uuid.uuid4().hex[:8] + "\n")
        return self.identity.read_text().strip()

    @property
    def demo_mark(self) -> Path:
        """Present in a demo's home only: such a home takes synthetic bars and nothing else."""
        return self.root / "DEMO"

    @property
    def is_demo(self) -> bool:
        """Whether this home belongs to `cbi demo`."""
        return self.demo_mark.exists()

    def create(self) -> None:
        """Make the folders that every run needs."""
        for folder in (self.root, self.landing, self.scratch, self.dagster):
            folder.mkdir(parents=True, exist_ok=True)
