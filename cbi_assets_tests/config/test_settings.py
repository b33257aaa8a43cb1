from __future__ import annotations

from pathlib import Path

import pytest

from cbi_assets.config.settings import Settings, load_settings
from cbi_assets.errors import UsageError

NAMES = {
    "CBI_HOME",
    "CBI_DRIVE",
    "CBI_STAGING",
    "CBI_WAREHOUSE",
    "CBI_BQ_PROJECT",
    "CBI_BQ_LOCATION",
    "CBI_BQ_CREDENTIALS",
    "CBI_BQ_MAX_BYTES_BILLED",
    "CBI_BQ_BUCKET",
    "CBI_BQ_TIMEOUT",
    "CBI_BQ_PATIENCE",
    "CBI_BQ_ENDPOINT",
    "CBI_BQ_STORAGE_ENDPOINT",
    "CBI_BQ_BUCKET_ENDPOINT",
    "DATABENTO_API_KEY",
    "CBI_DATABENTO_ENDPOINT",
    "CBI_ALERT_URLS",
    "CBI_ALERT_FREE_GIB",
}


@pytest.fixture(autouse=True)
def _without_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder without a .env file."""
    monkeypatch.chdir(tmp_path)


def test_settings_have_documented_defaults() -> None:
    assert load_settings().shown() == {
        "CBI_HOME": ".cbi",
        "CBI_DRIVE": None,
        "CBI_STAGING": None,
        "CBI_WAREHOUSE": "duckdb",
        "CBI_BQ_PROJECT": None,
        "CBI_BQ_LOCATION": "us-central1",
        "CBI_BQ_CREDENTIALS": None,
        "CBI_BQ_MAX_BYTES_BILLED": "10737418240",
        "CBI_BQ_BUCKET": None,
        "CBI_BQ_TIMEOUT": "120.0",
        "CBI_BQ_PATIENCE": "600.0",
        "CBI_BQ_ENDPOINT": None,
        "CBI_BQ_STORAGE_ENDPOINT": None,
        "CBI_BQ_BUCKET_ENDPOINT": None,
        "DATABENTO_API_KEY": None,
        "CBI_DATABENTO_ENDPOINT": None,
        "CBI_ALERT_URLS": None,
        "CBI_ALERT_FREE_GIB": "5.0",
    }


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBI_DRIVE", "/mnt/drive")
    monkeypatch.setenv("CBI_HOME", "/var/cbi")
    settings = load_settings()
    assert settings.shown()["CBI_STAGING"] == "/mnt/drive/TrainingData/staging"
    assert settings.home.warehouse == Path("/var/cbi/warehouse.duckdb")
    monkeypatch.setenv("CBI_STAGING", "/mnt/other")
    assert load_settings().staging == Path("/mnt/other")


def test_environment_overrides_the_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("CBI_DRIVE=/from/file\nCBI_HOME=/home/file\nOTHER=1\n")
    monkeypatch.setenv("CBI_HOME", "/home/environment")
    shown = load_settings().shown()
    assert shown["CBI_DRIVE"] == "/from/file"
    assert shown["CBI_HOME"] == "/home/environment"
    assert shown.keys() == NAMES


def test_secrets_are_masked_when_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABENTO_API_KEY", "db-supersecret")
    settings = load_settings()
    assert settings.shown()["DATABENTO_API_KEY"] == "********"
    assert "supersecret" not in repr(settings)
    assert "supersecret" not in str(settings.shown())
    assert settings.databento_api_key is not None
    assert settings.databento_api_key.get_secret_value() == "db-supersecret"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CBI_WAREHOUSE", "postgres"),
        ("CBI_BQ_MAX_BYTES_BILLED", "0"),
        ("CBI_BQ_MAX_BYTES_BILLED", "ten"),
    ],
)
def test_wrong_setting_is_named_in_one_line(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as raised:
        load_settings()
    assert str(raised.value).startswith(f"{name}: ")
    assert "\n" not in str(raised.value)


def test_home_expands_the_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CBI_HOME", "~/cbi")
    assert load_settings().home.root == tmp_path / "cbi"


def test_child_environment_has_every_setting_with_absolute_paths(tmp_path: Path) -> None:
    settings = Settings(
        _env_file=None,
        cbi_home=Path("home"),
        cbi_drive=tmp_path / "drive",
        cbi_bq_max_bytes_billed=5,
        databento_api_key="db-key",
    )
    child = settings.environment()
    assert child["CBI_HOME"] == str(Path.cwd() / "home")
    assert child["CBI_DRIVE"] == str(tmp_path / "drive")
    assert child["CBI_BQ_MAX_BYTES_BILLED"] == "5"
    assert child["DATABENTO_API_KEY"] == "db-key"
    assert "CBI_STAGING" not in child
    assert "CBI_BQ_PROJECT" not in child
