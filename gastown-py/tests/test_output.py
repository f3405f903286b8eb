"""What sessions print and tell: read, followed, removed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import gastown

HANG = 120
SCRIPT = """
printf 'begun ä\\n'
echo '{"someKey": 1}' >> "$GASTOWN_EVENTS_FILE"
echo 'no JSON' >> "$GASTOWN_EVENTS_FILE"
until [ -e "$GASTOWN_BRIEF.go" ]; do sleep 0.02; done
printf 'done \\377'
exit 1
"""


async def ended(town: gastown.Town, session: str) -> None:
    async with town.events.watch() as journal:
        async for event in journal:
            if event.kind == "session.ended" and event.subject == session:
                return


async def test_output_is_read_followed_and_removed(town: gastown.Town, origin: Path) -> None:
    settings = {"agent.command": ["sh", "-c", SCRIPT], "failures.max": 1}
    await town.rigs.add("harbour", str(origin), settings=settings)
    await town.agents.register("toast", rig="harbour")
    await town.start()
    bead = await town.beads.create("talk", rig="harbour")
    await town.beads.sling(bead.id)
    (session,) = (await town.sessions.list(bead=bead.id)).sessions

    follow = town.sessions.follow(session.id, raw=True)
    first = await asyncio.wait_for(follow.__anext__(), HANG)
    assert (first.text, first.bytes, first.offset, first.is_final) == ("begun ä\n", "begun ä\n".encode(), 0, False)
    # A wait that is cancelled loses nothing.
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(follow.__anext__(), 0.001)
    live = await town.sessions.get(session.id)
    assert live.output == gastown.SessionOutput(9, 0, False)
    (Path(town.dir) / "work" / session.id / "brief.json.go").touch()
    rest = [page async for page in follow]
    assert b"".join(page.bytes or b"" for page in rest) == b"done \xff"
    assert "".join(page.text for page in rest) == "done \ufffd"
    assert [page.is_final for page in rest] == [False] * (len(rest) - 1) + [True]

    events = [event async for page in town.sessions.follow(session.id, stream="events") for event in page.events or []]
    assert [(event.data, event.text, event.flaw) for event in events] == [
        ({"someKey": 1}, None, None),
        (None, "no JSON", "malformed"),
    ]
    page = await town.sessions.output(session.id, after=6, limit_bytes=16)
    assert (page.text, page.bytes, page.next_offset, page.is_final) == ("ä\ndone \ufffd", None, 15, True)

    await asyncio.wait_for(ended(town, session.id), HANG)
    await town.rigs.configure({"output.keep_ms": 0}, rig="harbour")

    async def removed() -> None:
        # What the town still has to do about the session is journaled as it gets done.
        async for _ in town.events.watch():
            if (await town.sessions.sweep()).kept_sessions == 0:
                return

    await asyncio.wait_for(removed(), HANG)
    with pytest.raises(gastown.NotFoundError) as gone:
        await town.sessions.output(session.id)
    assert (gone.value.code, gone.value.facts["session"]) == ("output_gone", session.id)
    known = await town.sessions.get(session.id)
    assert known.output == gastown.SessionOutput(None, None, True)


async def test_what_cannot_be_followed_says_why(town: gastown.Town) -> None:
    with pytest.raises(gastown.NotFoundError) as missing:
        await town.sessions.follow("s-none").__anext__()
    assert missing.value.code == "session_missing"
    for part, code in (({"after": -1}, "input_malformed"), ({"limit_bytes": 0}, "limit_out_of_range")):
        with pytest.raises(gastown.InvalidError) as wrong:
            town.sessions.follow("s-none", **part)  # type: ignore[arg-type]
        assert wrong.value.code == code


async def test_a_closed_follow_ends(town: gastown.Town, origin: Path) -> None:
    settings = {"agent.command": ["sleep", "600"]}
    await town.rigs.add("harbour", str(origin), settings=settings)
    await town.agents.register("toast", rig="harbour")
    bead = await town.beads.create("wait", rig="harbour")
    await town.beads.sling(bead.id)
    (session,) = (await town.sessions.list(bead=bead.id)).sessions
    for close in (lambda follow: follow.close(), lambda follow: asyncio.ensure_future(town.close())):
        follow = town.sessions.follow(session.id)
        waiting = asyncio.ensure_future(follow.__anext__())
        await asyncio.sleep(0)
        close(follow)
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(waiting, HANG)
