"""Following the journal."""

from __future__ import annotations

import asyncio

import pytest

import gastown

HANG = 60


async def test_a_watch_wakes_on_a_later_event(town: gastown.Town) -> None:
    watch = town.events.watch(since=1)
    waiting = asyncio.ensure_future(watch.__anext__())
    await asyncio.sleep(0)
    assert not waiting.done()
    bead = await town.beads.create("x")
    event = await asyncio.wait_for(waiting, HANG)
    assert (event.seq, event.kind, event.subject, event.actor) == (2, "bead.created", bead.id, "operator")
    assert event.data == {"kind": "issue", "title": "x"}
    assert {change.table for change in event.changes} == {"bead"}


async def test_a_wait_that_is_cut_short_loses_no_event(town: gastown.Town) -> None:
    watch = town.events.watch(since=1)
    for n in range(20):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(watch.__anext__(), 0.001)
        bead = await town.beads.create(f"bead {n}")
        assert (await asyncio.wait_for(watch.__anext__(), HANG)).subject == bead.id
    # A wait that is cancelled at the very moment its event arrives.
    made = []
    seen = []
    for n in range(50):
        waiting = asyncio.ensure_future(watch.__anext__())
        made.append((await town.beads.create(f"more {n}")).id)
        waiting.cancel()
        try:
            seen.append((await waiting).subject)
        except asyncio.CancelledError:
            pass
    while len(seen) < len(made):
        seen.append((await asyncio.wait_for(watch.__anext__(), HANG)).subject)
    assert seen == made


async def test_a_watch_ends_when_it_or_the_town_is_closed(town: gastown.Town) -> None:
    for close in (lambda watch: watch.close(), lambda watch: asyncio.ensure_future(town.close())):
        watch = town.events.watch(since=1)
        waiting = asyncio.ensure_future(watch.__anext__())
        await asyncio.sleep(0)
        close(watch)
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(waiting, HANG)


async def test_one_task_at_a_time_waits(town: gastown.Town) -> None:
    watch = town.events.watch(since=1)
    waiting = asyncio.ensure_future(watch.__anext__())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="another task waits"):
        await watch.__anext__()
    waiting.cancel()


async def test_a_place_that_is_none_is_refused(town: gastown.Town) -> None:
    for place in (-1, 2**64, "1", 1.5):
        with pytest.raises(gastown.InvalidError) as caught:
            town.events.watch(since=place)  # type: ignore[arg-type]
        assert (caught.value.code, caught.value.facts) == ("value_range", {"path": "since"})


async def test_a_rig_does_not_see_the_whole_journal(town: gastown.Town) -> None:
    with pytest.raises(gastown.ForbiddenError) as caught:
        town.rig("harbour").events.watch()
    assert (caught.value.code, caught.value.facts) == ("scope_too_narrow", {"principal": "rig/harbour"})
