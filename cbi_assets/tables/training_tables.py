"""The training tables of training.yaml, their folds, and what their last build wrote."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from cbi_assets.config.training import TrainingTable, load_training
from cbi_assets.tables.matrix_table import DAILY_ML_MATRIX_FLAT
from cbi_assets.tables.spec import NATIVE, Column, TableSpec

_TARGET: Final = (
    Column(
        "target",
        "FLOAT64",
        "what holding the front contract earns from this close to the close `horizon` ahead, "
        "rolled at each roll between: exp(sum of log returns) - 1, each return of one contract; "
        "NULL if one of them is unknown",
        False,
        unit="fraction",
    ),
    Column(
        "target_missing",
        "STRING",
        "why target is NULL: not yet; or the first date on which a return is unknown: roll step "
        "unknown on D, gap on D, session break on D (bars), price not positive on D",
        False,
    ),
    Column(
        "target_unadjusted",
        "FLOAT64",
        "close at target_date / this close - 1 on the unadjusted series, for comparison only: it "
        "jumps at rolls",
        False,
        unit="fraction",
    ),
    Column("target_date", "DATE", "trade date of the last close", False),
    Column(
        "target_known_at",
        "TIMESTAMP",
        "when the target becomes known; a row may be trained on only after it",
        False,
        unit="UTC",
    ),
    Column(
        "target_closes",
        "STRING",
        "closes of the returns: session (of 1m or 1h bars), or utc_day (of the vendor's 1d bars)",
    ),
    Column("horizon", "INT64", "how far the target looks ahead", unit="trade dates or bars"),
    Column("entry_contract", "STRING", "front contract at this close", False),
    Column("exit_contract", "STRING", "front contract at the last close", False),
    Column("rolls_between", "INT64", "rolls after this close, to the last one", False),
    Column("training_weight", "FLOAT64", "weight of the row's regime in regimes.yaml", False),
)

_BAR: Final = (
    Column("symbol", "STRING", "root"),
    Column("bar_end", "TIMESTAMP", "end of the bar, exclusive", unit="UTC"),
    Column("trade_date", "DATE", "exchange trade date of the bar"),
    Column("open", "FLOAT64", "first trade of the bar", False, NATIVE),
    Column("high", "FLOAT64", "highest trade of the bar", False, NATIVE),
    Column("low", "FLOAT64", "lowest trade of the bar", False, NATIVE),
    Column("close", "FLOAT64", "last trade of the bar", False, NATIVE),
    Column("volume", "INT64", "contracts traded in the bar", unit="contracts"),
)
BAR_LOADS: Final = Column(
    "bar_load_ids", "STRING", "loads that published the bar, separated by blanks", False
)

FEATURES: Final = DAILY_ML_MATRIX_FLAT.columns
"""The columns that a training table takes from the matrix, and from nowhere else."""


def _spec(name: str, table: TrainingTable) -> TableSpec:
    ahead = f"{table.horizon} trade dates" if table.bar is None else f"{table.horizon} bars"
    description = f"{table.root}: rows to train on, with the return over the next {ahead}."
    if table.bar is None:
        columns = (*FEATURES, *_TARGET)
        return TableSpec(
            "training",
            name,
            description,
            columns,
            ("symbol", "data_date"),
            partition_by="data_date",
            cluster_by=("symbol",),
        )
    of_matrix = tuple(replace(c, required=False) for c in FEATURES if c.name != "symbol")
    return TableSpec(
        dataset="training",
        name=name,
        description=f"{description[:-1]} of {table.bar}; features are of the newest matrix row "
        "whose session closed by bar_end.",
        columns=(*_BAR, *of_matrix, *_TARGET, BAR_LOADS),
        key=("symbol", "bar_end"),
        partition_by="bar_end",
        cluster_by=("symbol",),
    )


TRAINING: Final = {name: _spec(name, table) for name, table in load_training().tables.items()}
"""The training tables by name. A build creates them: other commands do not wait for that."""

FOLDS: Final = TableSpec(
    dataset="training",
    name="folds",
    description="Walk-forward folds of each training table: it trains on all dates before. Dates "
    "between two roles have none, so that no target window touches another role's dates.",
    columns=(
        Column("table", "STRING", "training table, without its dataset"),
        Column("fold", "INT64", "number of the fold, from 1, oldest first"),
        Column("role", "STRING", "train, valid or test"),
        Column("from_date", "DATE", "first trade date of the role, included"),
        Column("to_date", "DATE", "last trade date of the role, included"),
    ),
    key=("table", "fold", "role"),
    partition_by="from_date",
    cluster_by=("table",),
)

TRAINING_BUILDS: Final = TableSpec(
    dataset="ops",
    name="training_builds",
    description="What each training table contains, and from what it was built: one row per table.",
    columns=(
        Column("table", "STRING", "training table, without its dataset"),
        Column("symbol", "STRING", "its root"),
        Column("built_at", "TIMESTAMP", "when its rows last changed", unit="UTC"),
        Column("row_count", "INT64", "its rows"),
        Column("targets", "INT64", "rows with a target"),
        Column("not_yet", "INT64", "rows whose target lies in the future"),
        Column("roll_unknown", "INT64", "rows without a target because a roll step is unknown"),
        Column("gaps", "INT64", "rows without a target because of a gap or a session break"),
        Column("other_missing", "INT64", "rows without a target because of a price of 0 or less"),
        Column("first_date", "DATE", "first trade date", False),
        Column("last_date", "DATE", "last trade date", False),
        Column("folds", "INT64", "folds in training.folds"),
        Column("inputs", "STRING", "hash of what it was built from; equal means up to date"),
    ),
    key=("table",),
)
