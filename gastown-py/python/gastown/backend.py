"""What a storage backend written in Python must have.

`Backend` and the classes it leads to are protocols: a class needs their methods and no base. The methods are called
from threads of the store, each object by one thread at a time and not always by the same one, with blocking calls. What
every backend must refuse (an entry that leaves a gap, a return to no savepoint, a write on a reader's connection, a
malformed scan) is refused before a method is called.

An exception of `gastown` that a method raises reaches the caller with its class and its `code`: a second writer that
waited long enough raises `UnavailableError` with the code `store_busy`. Any other exception becomes `UnavailableError`
with the code `backend_failed` and the traceback in `chain`. An answer of another shape is `InternalError` with the code
`backend_answer`. After each of them the store goes on, with a new connection where a transaction was lost.

`gastown.testkit` has the cases that a backend must pass; `examples/backend.py` is a whole one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, Protocol

from gastown import _gastown
from gastown._gastown import Scan

__all__ = [
    "Access",
    "Backend",
    "Changes",
    "Column",
    "Condition",
    "Connection",
    "Entry",
    "Index",
    "Reader",
    "Row",
    "Scan",
    "Schema",
    "Table",
    "Transaction",
    "Value",
    "schema",
]

Value = int | str | None
"""A column's value: an integer of 64 bits, text of any characters (NUL as well), or nothing."""

Row = Sequence[Value]
"""A value for each column of a table, the key's first."""

Entry = tuple[int, str, str]
"""An entry of the journal: its number, its hash, and its text."""

Access = Literal["read", "write"]


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    type: Literal["int", "text"]
    nullable: bool


@dataclass(frozen=True)
class Table:
    """A table; every row belongs to a town besides."""

    name: str
    columns: list[Column]
    key: int
    """How many of the columns, from the first, are the key."""


@dataclass(frozen=True)
class Condition:
    """What holds for every row of an index: the column equals `equals`, or is not null where that is `None`."""

    column: str
    equals: Value


@dataclass(frozen=True)
class Index:
    """A scan that must be fast: its rows meet the conditions, and are ordered by the order columns.

    Null comes before numbers and numbers before text; text is ordered by its UTF-8 bytes. The prefix and the order
    columns together hold the table's key.
    """

    name: str
    table: str
    conditions: list[Condition]
    prefix: list[str]
    order: list[str]


@dataclass(frozen=True)
class Schema:
    """Everything that is stored, by name; the journal is besides."""

    tables: dict[str, Table]
    indexes: dict[str, Index]


@cache
def schema() -> Schema:
    """The tables and indexes of this version."""
    plain = _gastown.schema()
    tables = [
        Table(name, [Column(*column) for column in columns], key) for name, columns, key in plain["tables"]
    ]
    indexes = [
        Index(name, table, [Condition(*condition) for condition in conditions], prefix, order)
        for name, table, conditions, prefix, order in plain["indexes"]
    ]
    return Schema({table.name: table for table in tables}, {index.name: index for index in indexes})


class Reader(Protocol):
    """One town at one moment: what is committed meanwhile is not seen."""

    def get(self, table: str, key: list[Value], /) -> Row | None:
        """The row of this key."""

    def scan(self, scan: Scan, /) -> Sequence[Row]:
        """Rows of one index in its order, at most `scan.limit`.

        Each meets the index's conditions and has the values of `scan.prefix` (null equals null here). `scan.after` is a
        place: the rows behind it are wanted, whether or not one stands there. `scan.upto` bounds the first order column,
        itself included.
        """

    def head(self) -> tuple[int, str]:
        """Number and hash of the journal's last entry; `(0, "")` where there is none."""

    def events(self, after: int, limit: int, /) -> Sequence[str]:
        """The texts of the entries with a greater number than `after`, in order, at most `limit`."""

    def close(self) -> None:
        """Ends it. A transaction that was not committed leaves nothing. It is called once, whatever happened before."""


class Transaction(Reader, Protocol):
    """The write transaction of one town; it sees its own changes."""

    def put(self, table: str, row: list[Value], /) -> None:
        """Inserts the row or replaces the one of its key."""

    def delete(self, table: str, key: list[Value], /) -> None:
        """Removes the row of this key; nothing where there is none."""

    def append(self, entries: list[Entry], /) -> None:
        """Appends entries to the journal; they follow its end without a gap."""

    def truncate_events(self, through: int, /) -> None:
        """Removes the entries up to this number; the last one is never among them."""

    def savepoint(self) -> None:
        """Marks a place to return to, replacing an earlier mark."""

    def rollback_to_savepoint(self) -> None:
        """Undoes everything since the mark, the journal's end included; the mark stays."""

    def commit(self) -> None:
        """Makes everything durable; where it raises, nothing of it may be there. Only `close` follows."""


class Connection(Protocol):
    """One connection; it has one reader or one transaction at a time.

    It may have these besides: `describe() -> (version of the schema, "full" | "normal" | "none")`, `check() -> list` of
    sentences about damage, `vacuum()`, and `copy_to(path) -> bool`.
    """

    def read(self, town: str, /) -> Reader:
        """Begins a snapshot of one town, of this moment; it never waits for a writer."""

    def write(self, town: str, /) -> Transaction:
        """Begins the write transaction of one town.

        There is one at a time over all connections and processes; others wait, with a bound, and then raise
        `UnavailableError` with the code `store_busy`. It sees everything that was committed before.
        """

    def close(self) -> None:
        """Closes the connection; no reader and no transaction of it is open any more."""


class Changes(Protocol):
    """A watch for commits, by whichever connection, store or process."""

    def wait(self, seconds: float, /) -> bool:
        """Waits until something was committed that appended to the journal, at most so long; true where it was.

        What was committed before the call and since the last one counts: it ends the wait at once. It may be true
        without a commit. It is called again and again, some tenths of a second each time, so that a store that is
        closed waits no longer.
        """

    def close(self) -> None:
        """Ends the watch."""


class Backend(Protocol):
    """A place where towns are kept.

    It may have `changes() -> Changes | None` besides, a watch that hears what is committed from then on. Without one,
    what other stores and processes commit is looked for every 30 seconds, and seen with the next commit of one's own.
    """

    def connect(self, access: Access, /) -> Connection:
        """Opens one more connection, and makes what must be there first. `write` is not called on a reader's."""
