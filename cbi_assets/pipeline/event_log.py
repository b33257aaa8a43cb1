"""Dagster's event log on SQLite, with connections that stay open, and with transactions.

Dagster opens and closes a database several times per event. The last connection that closes makes
SQLite copy its log into the database and wait for the disk: 25 ms of CPU and up to 0.1 s per event,
in a load that reports 34 partitions a minute altogether.

It also commits each event by itself. A backfill that looks at a run between the events of two of
its partitions requests a run for those downstream of the first ones, and later more runs for the
others: 22 runs instead of one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cached_property
from sqlite3 import Connection as SqliteConnection
from threading import get_ident

import dagster as dg
from dagster._core.storage.event_log import SqliteEventLogStorage
from sqlalchemy import Connection, Engine, create_engine, event

_MOST_OPEN = 8
_WAIT_SECONDS = 120  # for another process that writes: a busy machine takes long over 86 partitions
_BATCH_VARIABLE = "DAGSTER_EVENT_BATCH_SIZE"
_BATCH = 10_000  # more than there are partitions: a step's are materialized all at once


def keep_event_log_open(instance: dg.DagsterInstance) -> None:
    """Make an instance on SQLite keep its connections until it is disposed of.

    What Dagster itself stores as a batch, which are the events of a step's partitions, is then one
    transaction in each database, too.
    """
    storage = instance.event_log_storage
    if type(storage) is SqliteEventLogStorage:
        storage.__class__ = _OpenEventLog
        os.environ.setdefault(_BATCH_VARIABLE, str(_BATCH))


def stored_together(instance: dg.DagsterInstance) -> AbstractContextManager[None]:
    """Store the events of the block in one transaction per database; none if it raises.

    Other processes wait for it to end before they store theirs.
    """
    storage = instance.event_log_storage
    return storage.transaction() if isinstance(storage, _OpenEventLog) else nullcontext()


class _OpenEventLog(SqliteEventLogStorage):
    @cached_property
    def _engines(self) -> dict[str, Engine]:
        return {}

    @cached_property
    def _transactions(self) -> dict[int, tuple[dict[str, Connection], ExitStack]]:
        """The connections with an open transaction, by thread and database."""
        return {}

    @cached_property
    def _tables(self) -> set[str]:
        """The tables that are known to exist: Dagster drops none."""
        return set()

    def has_table(self, table_name: str) -> bool:
        """Return whether a table exists, for which Dagster opens the database for each check."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store events, all or none."""
        with self.transaction():
            super().store_event_batch(events)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Store what this thread stores in the block together; other threads wait."""
        me = get_ident()
        if me in self._transactions:
            yield
            return
        with self._db_lock:
            try:
                with ExitStack() as stack:
                    self._transactions[me] = ({}, stack)
                    yield
            finally:
                del self._transactions[me]

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        if (open_now := self._transactions.get(get_ident())) is None:
            with self._db_lock, self._begin(shard) as connection:
                yield connection
            return
        connections, stack = open_now
        if shard not in connections:
            connections[shard] = stack.enter_context(self._begin(shard))
        yield connections[shard]

    @contextmanager
    def _begin(self, shard: str) -> Iterator[Connection]:
        engine = self._engines.pop(shard, None) or self._open(shard)
        self._engines[shard] = engine  # the newest used comes last
        if len(self._engines) > _MOST_OPEN:
            self._engines.pop(next(iter(self._engines))).dispose()
        with engine.connect() as connection, connection.begin():
            yield connection

    def _open(self, shard: str) -> Engine:
        engine = create_engine(
            self.conn_string_for_shard(shard),
            connect_args={"timeout": _WAIT_SECONDS},
        )
        event.listen(engine, "connect", _do_not_wait_for_the_disk)
        if shard not in self._initialized_dbs:
            self._initdb(engine)
            self._initialized_dbs.add(shard)
        return engine

    def dispose(self) -> None:
        """Close the connections."""
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()
        super().dispose()


def _do_not_wait_for_the_disk(connection: SqliteConnection, _: object) -> None:
    # A power cut may cost the newest events, as shown in Dagster, but damages nothing; a process
    # that is killed loses none.
    connection.execute("PRAGMA synchronous = NORMAL")
