"""A home keeps translations of SQL, and trusts only a file that is as it was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbi_assets.warehouse.translations import Translations


def translate(sql: str, pretty: bool) -> str:
    return f"{sql} in DuckDB{', pretty' if pretty else ''}"


def fail(sql: str, pretty: bool) -> str:
    raise AssertionError(f"{sql} is translated again")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with two translations of `SELECT 1`."""
    path = tmp_path / "translations.txt"
    translations = Translations(path, translate, "rules 1")
    translations.get("SELECT 1")
    translations.get("SELECT 1", pretty=True)
    translations.save()
    return path


def test_text_is_not_translated_again_by_the_next_command(file: Path) -> None:
    later = Translations(file, fail, "rules 1")
    assert later.get("SELECT 1") == "SELECT 1 in DuckDB"
    assert later.get("SELECT 1", pretty=True) == "SELECT 1 in DuckDB, pretty"


def test_translations_are_ignored_under_other_rules(file: Path) -> None:
    with pytest.raises(AssertionError, match="SELECT 1 is translated again"):
        Translations(file, fail, "rules 2").get("SELECT 1")


@pytest.mark.parametrize("content", [b"", b"\xff\n{}", b"head\n{"])
def test_damaged_file_is_ignored_and_replaced(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    translations = Translations(file, translate, "rules 1")
    assert translations.get("SELECT 1") == "SELECT 1 in DuckDB"
    translations.save()
    assert Translations(file, fail, "rules 1").get("SELECT 1") == "SELECT 1 in DuckDB"


def test_changed_translation_is_not_used(file: Path) -> None:
    file.write_text(file.read_text().replace("in DuckDB", "in SQLite"))
    assert Translations(file, translate, "rules 1").get("SELECT 1") == "SELECT 1 in DuckDB"
