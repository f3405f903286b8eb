"""A backend written in Python: the conformance kit, a town on it, and what happens when it fails."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import gastown
from gastown import backend, testkit

# Longer than anything here takes; who waits so long waits for ever.
HANG = 120

EXAMPLE = Path(__file__).parents[2] / "examples" / "backend.py"


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_backend", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SqliteBackend: Any = example().SqliteBackend


@pytest.mark.parametrize("case", testkit.store_conformance_cases())
def test_the_example_backend(case: str, tmp_path: Path) -> None:
    file = str(tmp_path / "town.db")
    testkit.run_store_conformance_case(
        case, lambda: quick(file), address=file, command=[sys.executable, __file__]
    )


def quick(path: str) -> backend.Backend:
    """The example, which does not wait long for another writer."""
    made: backend.Backend = SqliteBackend(path, busy_seconds=0.2)
    return made


def test_the_kit_says_what_a_backend_does_wrong(tmp_path: Path) -> None:
    class Forgets(Wrapped):
        def commit(self) -> None:
            self.inner.close()

    with pytest.raises(AssertionError):
        testkit.run_store_conformance_case(
            "a_title_is_kept_byte_for_byte", lambda: Wrapping(SqliteBackend(tmp_path / "town.db"), Forgets)
        )
    with pytest.raises(KeyError):
        testkit.run_store_conformance_case("no such case", lambda: SqliteBackend(tmp_path / "town.db"))
    assert len(testkit.store_conformance_cases()) > 200
    assert not testkit.take_part(lambda address: quick(address))


class Wrapped:
    """A transaction that does what another does."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Wrapping:
    """A backend whose transactions are wrapped."""

    def __init__(self, inner: Any, wrap: Callable[[Any], Any]) -> None:
        self.inner, self.wrap = inner, wrap

    def connect(self, access: backend.Access) -> Any:
        connection, wrap = self.inner.connect(access), self.wrap

        class Connection(Wrapped):
            def read(self, town: str) -> Any:
                return wrap(self.inner.read(town))

            def write(self, town: str) -> Any:
                return wrap(self.inner.write(town))

        return Connection(connection)


async def test_a_town_lives_on_a_python_backend(tmp_path: Path) -> None:
    kept = SqliteBackend(tmp_path / "beads.db")
    async with gastown.open(tmp_path / "town", backend=kept) as town:
        watch = town.events.watch()
        first = await town.beads.create("first", labels=["ui"])
        second = await town.beads.create("second", priority=0)
        await town.beads.link(second.id, first.id)
        assert [bead.id for bead in (await town.beads.ready()).beads] == [first.id]
        await town.beads.claim(first.id)
        await town.beads.close(first.id)
        assert [bead.id for bead in (await town.beads.ready()).beads] == [second.id]
        kinds = [(await anext(watch)).kind for _ in range(3)]
        assert kinds == ["town.founded", "bead.created", "bead.created"]
        beads = await asyncio.gather(*(town.beads.create(f"bead {number}") for number in range(50)))
        assert len({bead.id for bead in beads}) == 50
        replay = await town.replay()
        await town.start()
        await town.stop()
    assert not (tmp_path / "town" / "town.db").exists()
    async with gastown.open(tmp_path / "town", backend=kept) as again:
        assert (await again.beads.get(second.id)).title == "second"
        assert (await again.replay()) == replay or replay is not None


async def test_a_town_hears_what_another_commits_to_the_same_backend(tmp_path: Path) -> None:
    file = tmp_path / "beads.db"
    waits: list[float] = []

    class Counted(Wrapped):
        def wait(self, seconds: float) -> bool:
            waits.append(seconds)
            return bool(self.inner.wait(seconds))

    kept = SqliteBackend(file)
    quiet = SqliteBackend(file)
    quiet.changes = lambda: None
    heard_by = SqliteBackend(file)
    heard_by.changes = lambda: Counted(kept.changes())
    async with gastown.open(tmp_path / "a", backend=heard_by) as town, gastown.open(tmp_path / "b", backend=quiet) as other:
        watch = town.events.watch(1)
        for number in range(5):
            # The slow look comes after 30 seconds.
            coming = asyncio.ensure_future(anext(watch))
            await other.beads.create(f"bead {number}")
            assert (await asyncio.wait_for(coming, 20)).kind == "bead.created"
    assert waits and max(waits) < 1, "it is asked for short times, so that closing waits no longer"


class Trouble:
    """What the transactions of a backend do next, instead of what they should."""

    def __init__(self) -> None:
        self.method = ""
        self.act: Callable[[], Any] = lambda: None

    def wrap(self, inner: Any) -> Any:
        trouble = self

        class Troubled(Wrapped):
            def __getattr__(self, name: str) -> Any:
                if name == trouble.method:
                    return lambda *_: trouble.act()
                return getattr(self.inner, name)

        return Troubled(inner)


def raising(error: BaseException) -> Callable[[], Any]:
    def act() -> Any:
        raise error

    return act


def refusal() -> gastown.GastownError:
    error = gastown.ExhaustedError("no more than this")
    error.code = "quota"
    return error


@pytest.mark.parametrize("method", ["put", "append", "head", "commit", "get"])
async def test_what_a_backend_raises_is_typed_and_the_town_goes_on(tmp_path: Path, method: str) -> None:
    trouble = Trouble()
    kept = Wrapping(SqliteBackend(tmp_path / "beads.db"), trouble.wrap)
    async with gastown.open(tmp_path / "town", backend=kept) as town:
        first = await town.beads.create("first")
        for act, wanted, code in [
            (raising(OSError("the disk went away")), gastown.UnavailableError, "backend_failed"),
            (raising(refusal()), gastown.ExhaustedError, "quota"),
            (raising(ZeroDivisionError()), gastown.UnavailableError, "backend_failed"),
        ]:
            trouble.method, trouble.act = method, act
            with pytest.raises(wanted) as caught:
                await town.beads.create("lost")
            assert (caught.value.code, caught.value.facts["method"]) == (code, method)
            assert "Traceback" in caught.value.chain and "in act" in caught.value.chain
            trouble.method = ""
            assert [bead.id for bead in (await town.beads.list()).beads] == [first.id]
        second = await town.beads.create("second")
        assert {bead.id for bead in (await town.beads.list()).beads} == {first.id, second.id}


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("get", 7),
        ("get", "text"),
        ("get", [1, 2]),
        ("get", [1.5]),
        ("get", [True]),
        ("get", [2**70]),
        ("get", ["\ud800"]),
        ("scan", None),
        ("scan", "rows"),
        ("scan", [["too", "few"]]),
        ("scan", [[b"bytes"]]),
        ("head", None),
        ("head", (-1, "")),
        ("head", ("1", 2)),
        ("events", 3),
        ("events", [3]),
    ],
)
async def test_an_answer_of_another_shape_is_an_error_that_names_the_method(
    tmp_path: Path, method: str, answer: Any
) -> None:
    trouble = Trouble()
    kept = Wrapping(SqliteBackend(tmp_path / "beads.db"), trouble.wrap)
    async with gastown.open(tmp_path / "town", backend=kept) as town:
        bead = await town.beads.create("first")
        trouble.method, trouble.act = method, lambda: answer
        with pytest.raises(gastown.GastownError) as caught:
            if method == "events":
                await town.events.since()
            elif method == "scan":
                await town.beads.list()
            else:
                await town.beads.update(bead.id, title="changed")
        if (method, answer) != ("get", [1, 2]):
            assert (caught.value.code, caught.value.kind) == ("backend_answer", "internal")
            assert caught.value.facts["method"] == method
        trouble.method = ""
        assert (await town.beads.get(bead.id)).title == "first"


class Pages:
    """What the scans of a backend answer, made of what they were asked and of what they should answer."""

    def __init__(self) -> None:
        self.answer: Callable[[Any, Any], Any] | None = None

    def wrap(self, inner: Any) -> Any:
        pages = self

        class Paged(Wrapped):
            def scan(self, scan: Any) -> Any:
                rows = list(self.inner.scan(scan))
                if pages.answer is None or scan.table != "bead" or not rows:
                    return rows
                return pages.answer(scan, rows)

        return Paged(inner)


def unreadable(row: Any) -> list[Any]:
    """The row with a word in every number, so that only its key can be read."""
    return [value if isinstance(value, str) or value is None else "no number" for value in row]


@pytest.mark.parametrize(
    "answer",
    [
        lambda scan, rows: [rows[0]] * (scan.limit + 1),
        lambda scan, rows: [rows[0]] * scan.limit,
        lambda scan, rows: [unreadable(rows[0])] * scan.limit,
        lambda scan, rows: rows[::-1],
    ],
    ids=["too many", "the same again", "the same again, unreadable", "backwards"],
)
async def test_a_scan_that_does_not_go_on_is_an_error_and_ends(
    tmp_path: Path, answer: Callable[[Any, Any], Any]
) -> None:
    pages = Pages()
    kept = Wrapping(SqliteBackend(tmp_path / "beads.db"), pages.wrap)
    async with gastown.open(tmp_path / "town", backend=kept) as town:
        for title in ("first", "second"):
            await town.beads.create(title)
        pages.answer = answer
        with pytest.raises(gastown.GastownError) as caught:
            await asyncio.wait_for(town.beads.list(), 60)
        assert (caught.value.code, caught.value.facts["method"]) == ("backend_answer", "scan")
        pages.answer = None
        assert len((await town.beads.list()).beads) == 2


async def test_a_backend_that_does_not_connect_says_why(tmp_path: Path) -> None:
    class Refuses:
        def connect(self, access: backend.Access) -> Any:
            raise refusal()

    with pytest.raises(gastown.ExhaustedError) as caught:
        await gastown.open(tmp_path, backend=Refuses())
    assert caught.value.code == "quota"
    with pytest.raises(gastown.InvalidError) as missing:
        await gastown.open(tmp_path, backend=object())  # type: ignore[arg-type]
    assert missing.value.code == "value_type"
    assert "connect" in str(missing.value)


async def test_the_loop_goes_on_while_a_backend_blocks(tmp_path: Path) -> None:
    trouble, entered, leave = Trouble(), threading.Event(), threading.Event()
    kept = Wrapping(SqliteBackend(tmp_path / "beads.db"), trouble.wrap)

    def block() -> Any:
        entered.set()
        leave.wait()
        raise refusal()

    async with gastown.open(tmp_path / "town", backend=kept) as town:
        trouble.method, trouble.act = "commit", block
        creating = asyncio.ensure_future(town.beads.create("blocked"))
        assert await asyncio.to_thread(entered.wait, HANG), "it commits"
        assert (await town.beads.list()).beads == [], "a read is answered meanwhile"
        leave.set()
        with pytest.raises(gastown.ExhaustedError):
            await creating
        trouble.method = ""


def test_the_schema_is_plain_data() -> None:
    schema = backend.schema()
    assert schema.tables["bead"].columns[0] == backend.Column("id", "text", False)
    assert schema.tables["dependency"].key == 3
    ready = schema.indexes["BEADS_READY"]
    assert backend.Condition("status", "open") in ready.conditions
    assert (ready.prefix, ready.order) == (["kind", "ephemeral"], ["priority", "created_at", "id"])
    for index in schema.indexes.values():
        names = {column.name for column in schema.tables[index.table].columns}
        assert {*index.prefix, *index.order, *(condition.column for condition in index.conditions)} <= names


if __name__ == "__main__":
    assert testkit.take_part(quick), "the conformance kit starts this"
