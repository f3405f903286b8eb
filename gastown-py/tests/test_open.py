"""How a town is opened and closed."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import gastown


async def test_a_town_is_opened_by_await_and_by_async_with(tmp_path: Path) -> None:
    town = await gastown.open(str(tmp_path / "a" / "town"), id="harbour", durability="normal")
    assert (town.id, Path(town.dir)) == ("harbour", tmp_path / "a" / "town")
    bead = await town.beads.create("kept")
    await town.close()
    async with gastown.open(tmp_path / "a" / "town", id="harbour") as again:
        assert await again.beads.get(bead.id) == bead
    async with await gastown.open(tmp_path / "b") as other:
        assert (await other.beads.list()).beads == []


async def test_a_closed_town_answers_with_a_clear_error(tmp_path: Path) -> None:
    town = await gastown.open(tmp_path)
    await town.start()
    await asyncio.gather(town.close(), town.close())
    await town.close()
    for call in (town.beads.list(), town.replay(), town.session("s-1"), town.upkeep.health()):
        with pytest.raises(gastown.UnavailableError) as caught:
            await call
        assert caught.value.code == "store_closed"
    assert [event async for event in town.events.watch()] == []


async def test_a_file_that_is_no_town_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "town.db"
    file.write_bytes(b"This is no database. " * 400)
    before = file.read_bytes()
    with pytest.raises(gastown.GastownError) as caught:
        await gastown.open(tmp_path)
    assert (caught.value.code, caught.value.kind) == ("not_a_town", "corrupt")
    assert file.read_bytes() == before


async def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "town.db") as other:
        other.execute("CREATE TABLE customers (id INTEGER)")
    other.close()
    with pytest.raises(gastown.GastownError) as caught:
        await gastown.open(tmp_path)
    assert caught.value.code == "not_a_town"


async def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(gastown.NotFoundError) as caught:
        await gastown.open(tmp_path / "file" / "town")
    assert caught.value.code == "folder_missing"
    assert caught.value.facts["path"] == str(tmp_path / "file" / "town")
    for path in ("", "a\0b"):
        with pytest.raises(gastown.InvalidError) as malformed:
            await gastown.open(path)
        assert malformed.value.code == "path_malformed"
        with pytest.raises(gastown.InvalidError) as malformed:
            await gastown.restore(path, tmp_path / "town")
        assert malformed.value.code == "path_malformed"


async def test_an_unknown_option_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(gastown.InvalidError) as caught:
        await gastown.open(tmp_path, colour="red")  # type: ignore[call-arg]
    assert caught.value.code == "input_malformed"
    assert "colour" in str(caught.value) and "durability" in str(caught.value) and "beside" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"id": "../x"}, "name_malformed"),
        ({"id": 7}, "input_malformed"),
        ({"seed": -1}, "input_malformed"),
        ({"seed": 2**64}, "value_range"),
        ({"durability": "none"}, "durability_unknown"),
        ({"store": "memory", "durability": "full"}, "durability_unused"),
        ({"backend": 3}, "value_type"),
        ({"store": "oracle"}, "store_unknown"),
        ({"store": 7}, "input_malformed"),
        ({"store": "postgres://m:s3cret@h/d?colour=red"}, "store_url"),
        ({"program": "/no/such/program"}, "program_missing"),
    ],
)
async def test_a_wrong_option_is_a_typed_error(tmp_path: Path, options: dict[str, Any], code: str) -> None:
    with pytest.raises(gastown.InvalidError) as caught:
        await gastown.open(tmp_path, **options)
    assert caught.value.code == code


async def test_the_same_seed_and_clock_give_the_same_town(tmp_path: Path) -> None:
    async def journal(folder: Path) -> list[gastown.Event]:
        clock = gastown.ManualClock(1_700_000_000_000_000)
        async with gastown.open(folder, seed=7, clock=clock) as town:
            first = await town.beads.create("a")
            clock.advance(1_000)
            await town.beads.create("b", parent=first.id)
            return (await town.events.since(limit=10)).events

    first, second = await journal(tmp_path / "a"), await journal(tmp_path / "b")
    assert first == second
    assert [event.at % 1_000_000 for event in first] == [0, 0, 1_000]


async def test_a_manual_clock_stands_until_it_is_set(tmp_path: Path) -> None:
    clock = gastown.ManualClock(now=1_000)
    async with gastown.open(tmp_path, clock=clock) as town:
        bead = await town.beads.create("later", defer_until=2_000)
        assert (await town.beads.ready()).beads == []
        clock.set(2_000)
        assert clock.now == 2_000
        assert [ready.id for ready in (await town.beads.ready()).beads] == [bead.id]


async def test_a_clock_that_goes_back_loses_nothing_and_keeps_the_order(tmp_path: Path) -> None:
    clock = gastown.ManualClock(now=2_000_000)
    async with gastown.open(tmp_path, clock=clock) as town:
        first = await town.beads.create("first")
        await town.beads.claim("tess", id=first.id, lease_ms=1_000)
        clock.set(1_000_000)
        second = await town.beads.create("second")
        assert (await town.beads.get(first.id)).status == "in_progress", "nothing ends early"
        events = (await town.events.since()).events
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert (events[-1].subject, events[-1].at) == (second.id, 1_000_000)
        assert (await town.upkeep.check()).findings == []


async def test_the_packaged_program_supervises(town: gastown.Town, tmp_path: Path) -> None:
    assert (await town.upkeep.health()).sessions_survive
    copy = tmp_path / "gastown"
    os.symlink(Path(gastown.__file__).parent / "bin" / "gastown", copy)
    async with gastown.open(tmp_path / "other", program=copy) as other:
        assert (await other.upkeep.health()).sessions_survive


async def test_a_town_in_memory_is_gone_with_its_last_handle(tmp_path: Path) -> None:
    async with gastown.open(tmp_path, store="memory") as town:
        await town.beads.create("soon forgotten")
        assert (await town.upkeep.health()).backend == "memory"
    assert not (tmp_path / "town.db").exists()
    async with gastown.open(tmp_path, store="memory") as town:
        assert (await town.beads.list()).beads == []


async def test_two_towns_share_a_postgres_database(tmp_path: Path, postgres: str) -> None:
    async with gastown.open(tmp_path / "a", store=postgres) as first, gastown.open(tmp_path / "b", store=postgres) as second:
        bead = await first.beads.create("shared")
        assert await second.beads.get(bead.id) == bead
        assert (await second.upkeep.health()).backend == "postgres"
        async with gastown.open(tmp_path / "c", store=postgres, id="other", create=True) as other:
            assert (await other.beads.list()).beads == []


async def test_a_misspelt_name_is_no_new_town(tmp_path: Path) -> None:
    async with gastown.open(tmp_path, id="harbour"):
        pass
    for wrong in ("harbor", None):
        with pytest.raises(gastown.NotFoundError) as caught:
            await gastown.open(tmp_path, id=wrong)
        assert (caught.value.code, caught.value.facts["there"]) == ("town_missing", "harbour")
    async with gastown.open(tmp_path, id="mill", create=True) as town:
        assert town.id == "mill"
    async with gastown.open(tmp_path, id="mill") as town:
        assert town.id == "mill"


async def test_an_unreachable_database_is_a_typed_error_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(gastown.UnavailableError) as caught:
        await gastown.open(tmp_path, store="postgres://m:s3cret@127.0.0.1:1/d?sslmode=disable")
    assert caught.value.code == "store_unreachable"
    assert "s3cret" not in f"{caught.value!r} {caught.value} {caught.value.facts}"
