"""A storage backend in Python, over the standard library's `sqlite3`, and a town that is kept in it.

Everything it knows of beads comes from `gastown.backend.schema()`: the tables, their columns and their indexes. A
backend of your own may begin as a copy of this one; `gastown.testkit` says when it is done.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import gastown
from gastown.backend import Access, Condition, Entry, Row, Scan, Value, schema


VERSION = 1
"""The schema this backend makes. One that changes it needs a step from each earlier version."""


class SqliteBackend:
    """Towns in one file, for any number of processes of one machine."""

    def __init__(self, path: str | os.PathLike[str], *, busy_seconds: float = 5.0) -> None:
        self._path = os.fspath(path)
        self._busy_seconds = busy_seconds

    def connect(self, access: Access) -> SqliteConnection:
        # Transactions are begun and ended here, and threads take turns.
        db = sqlite3.connect(
            self._path, isolation_level=None, timeout=self._busy_seconds, check_same_thread=False
        )
        try:
            self._prepare(db)
        except BaseException:
            db.close()
            raise
        return SqliteConnection(db)

    def changes(self) -> SqliteChanges:
        return SqliteChanges(sqlite3.connect(self._path, isolation_level=None, check_same_thread=False))

    def _prepare(self, db: sqlite3.Connection) -> None:
        db.execute("PRAGMA synchronous = FULL")
        # Where everything is there already, connecting waits for nobody.
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            newer = gastown.UnsupportedError(f"the file has schema {version}, this backend knows {VERSION}")
            newer.code = "schema_newer"
            raise newer
        if version == VERSION:
            return
        deadline = time.monotonic() + self._busy_seconds
        # With a write-ahead log readers never wait. SQLite itself does not wait for whoever else turns it on.
        while True:
            try:
                db.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
        begin_write(db)
        for statement in definitions():
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")


def quoted(name: str) -> str:
    return f'"{name}"'


def columns(names: Sequence[str]) -> str:
    return ", ".join(quoted(name) for name in names)


def where(condition: Condition) -> str:
    if condition.equals is None:
        return f"{quoted(condition.column)} IS NOT NULL"
    word = condition.equals if isinstance(condition.equals, int) else f"'{condition.equals}'"
    return f"{quoted(condition.column)} = {word}"


def definitions() -> list[str]:
    """The statements that make the tables and indexes where they are missing."""
    made = ["CREATE TABLE IF NOT EXISTS event (town, seq, hash, text, PRIMARY KEY (town, seq)) WITHOUT ROWID"]
    for table in schema().tables.values():
        names = [column.name for column in table.columns]
        key = columns(["town_id", *names[: table.key]])
        made.append(f"CREATE TABLE IF NOT EXISTS {table.name} (town_id, {columns(names)}, PRIMARY KEY ({key}))")
    for index in schema().indexes.values():
        only = " AND ".join(where(condition) for condition in index.conditions)
        made.append(
            f"CREATE INDEX IF NOT EXISTS {index.name}_index ON {index.table}"
            f" ({columns(['town_id', *index.prefix, *index.order])})" + (f" WHERE {only}" if only else "")
        )
    return made


def begin_write(db: sqlite3.Connection) -> None:
    try:
        db.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        busy = gastown.UnavailableError("another connection writes to this database")
        busy.code = "store_busy"
        raise busy from error


class SqliteChanges:
    """Hears of commits by asking: SQLite tells nobody, and the answer costs a few microseconds."""

    PAUSE = 0.02

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._seen = self._version()

    def _version(self) -> int:
        """A number that is another one once another connection has committed."""
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        return int(version)

    def wait(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while (version := self._version()) == self._seen:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, self.PAUSE))
        self._seen = version
        return True

    def close(self) -> None:
        self._db.close()


class SqliteConnection:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def read(self, town: str) -> SqliteTransaction:
        self._db.execute("BEGIN")
        # SQLite takes the snapshot at the first read.
        self._db.execute("SELECT seq FROM event LIMIT 1").fetchone()
        return SqliteTransaction(self._db, town)

    def write(self, town: str) -> SqliteTransaction:
        begin_write(self._db)
        return SqliteTransaction(self._db, town)

    def describe(self) -> tuple[int, str]:
        return VERSION, "full"

    def check(self) -> list[str]:
        return [line for (line,) in self._db.execute("PRAGMA integrity_check") if line != "ok"]

    def vacuum(self) -> None:
        self._db.execute("VACUUM")

    def close(self) -> None:
        self._db.close()


class SqliteTransaction:
    """A snapshot, or a transaction that writes: SQLite makes no difference once it has begun."""

    def __init__(self, db: sqlite3.Connection, town: str) -> None:
        self._db = db
        self._town = town
        self._marked = False

    def get(self, table: str, key: list[Value]) -> Row | None:
        names = [column.name for column in schema().tables[table].columns]
        keyed = " AND ".join(f"{quoted(name)} = ?" for name in ["town_id", *names[: len(key)]])
        found = self._db.execute(f"SELECT {columns(names)} FROM {table} WHERE {keyed}", [self._town, *key])
        row: Row | None = found.fetchone()
        return row

    def scan(self, scan: Scan) -> Sequence[Row]:
        names = [column.name for column in schema().tables[scan.table].columns]
        wanted = ["town_id = ?", *(where(condition) for condition in schema().indexes[scan.index].conditions)]
        values: list[Value] = [self._town]
        for name, value in scan.prefix:
            # Like `=`, where null equals null.
            wanted.append(f"{quoted(name)} IS ?")
            values.append(value)
        if scan.after is not None:
            wanted.append(f"({columns(scan.order)}) > ({', '.join('?' * len(scan.order))})")
            values.extend(scan.after)
        if scan.upto is not None:
            wanted.append(f"{quoted(scan.order[0])} <= ?")
            values.append(scan.upto)
        return self._db.execute(
            f"SELECT {columns(names)} FROM {scan.table} WHERE {' AND '.join(wanted)}"
            f" ORDER BY {columns(scan.order)} LIMIT ?",
            [*values, scan.limit],
        ).fetchall()

    def head(self) -> tuple[int, str]:
        last = "SELECT seq, hash FROM event WHERE town = ? ORDER BY seq DESC LIMIT 1"
        head: tuple[int, str] = self._db.execute(last, [self._town]).fetchone() or (0, "")
        return head

    def events(self, after: int, limit: int) -> Sequence[str]:
        found = self._db.execute(
            "SELECT text FROM event WHERE town = ? AND seq > ? ORDER BY seq LIMIT ?", [self._town, after, limit]
        )
        return [text for (text,) in found]

    def put(self, table: str, row: list[Value]) -> None:
        places = ", ".join("?" * (len(row) + 1))
        self._db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({places})", [self._town, *row])

    def delete(self, table: str, key: list[Value]) -> None:
        names = [column.name for column in schema().tables[table].columns[: len(key)]]
        keyed = " AND ".join(f"{quoted(name)} = ?" for name in ["town_id", *names])
        self._db.execute(f"DELETE FROM {table} WHERE {keyed}", [self._town, *key])

    def append(self, entries: list[Entry]) -> None:
        self._db.executemany("INSERT INTO event VALUES (?, ?, ?, ?)", [(self._town, *entry) for entry in entries])

    def truncate_events(self, through: int) -> None:
        self._db.execute("DELETE FROM event WHERE town = ? AND seq <= ?", [self._town, through])

    def savepoint(self) -> None:
        if self._marked:
            self._db.execute("RELEASE mark")
        self._db.execute("SAVEPOINT mark")
        self._marked = True

    def rollback_to_savepoint(self) -> None:
        self._db.execute("ROLLBACK TO mark")

    def commit(self) -> None:
        self._db.execute("COMMIT")

    def close(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        backend = SqliteBackend(Path(folder) / "beads.db")
        async with gastown.open(folder, backend=backend) as town:
            first = await town.beads.create("Choose a database")
            second = await town.beads.create("Write a backend for it")
            await town.beads.link(second.id, first.id)
            print([bead.title for bead in (await town.beads.ready()).beads])
        async with gastown.open(folder, backend=backend) as town:
            assert len((await town.beads.list()).beads) == 2, "both are kept"


if __name__ == "__main__":
    asyncio.run(main())
