"""training.yaml names the user's tables, and a wrong key is named."""

from __future__ import annotations

import pytest

from cbi_assets.config.training import Folds, load_training, parse_training
from cbi_assets.errors import UsageError

FOLDS = "folds: {train: 5, valid: 2, test: 2}\n"


def test_tables_are_those_of_the_contract() -> None:
    found = {name: (t.root, t.bar, t.horizon) for name, t in load_training().tables.items()}
    zl = {"1w": 5, "1m": 21, "3m": 63, "6m": 126, "12m": 252}
    mes = {"1d": 1, "7d": 5, "30d": 21, "3m": 63, "6m": 126, "12m": 252}
    bars = {"1min": "1m", "5min": "5m", "15min": "15m", "30min": "30m", "1hr": "1h", "4hr": "4h"}
    name = "{}_training_prod_allhistory_{}"
    assert found == {
        **{name.format("zl", key): ("ZL", None, days) for key, days in zl.items()},
        **{name.format("mes", key): ("MES", None, days) for key, days in mes.items()},
        **{name.format("mes", key): ("MES", bar, 1) for key, bar in bars.items()},
    }
    assert len(found) == 17


def test_a_table_may_have_folds_of_its_own() -> None:
    own = "folds: {train: 1, valid: 1, test: 1}"
    tables = f"{{a: {{root: ES, horizon: 3}}, b: {{root: ES, horizon: 3, {own}}}}}"
    training = parse_training(f"{FOLDS}tables: {tables}")
    assert training.folds_of("a") == Folds(train=5, valid=2, test=2)
    assert training.folds_of("b") == Folds(train=1, valid=1, test=1)


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ("{a: {root: XX, horizon: 1}}", "tables.a.root: XX is not in universe.yaml"),
        ("{a: {root: ES, horizon: 0}}", "tables.a.horizon: "),
        ("{a: {root: ES, horizon: 1, bar: 2h}}", "tables.a.bar: "),
        ("{folds: {root: ES, horizon: 1}}", "folds is the name of the table of folds"),
    ],
)
def test_a_wrong_key_is_named(tables: str, problem: str) -> None:
    with pytest.raises(UsageError, match=r"^training\.yaml: ") as caught:
        parse_training(f"{FOLDS}tables: {tables}")
    assert problem in str(caught.value)
