"""Awaitables, cancellation, and life after a fork."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap

import pytest

import gastown
from gastown import _gastown


async def test_a_call_can_be_cancelled(probe: _gastown.Handle) -> None:
    async def hang() -> None:
        await probe.call("probe.hang", {})

    task = asyncio.create_task(hang())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_calls_run_beside_each_other(probe: _gastown.Handle) -> None:
    hanging = asyncio.ensure_future(probe.call("probe.hang", {}))
    answers = await asyncio.gather(*(probe.call("probe.echo", {"n": n}) for n in range(64)))
    assert answers == [{"n": n} for n in range(64)]
    hanging.cancel()


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in an interpreter of its own; the bound only ends a hang."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_handle_from_before_a_fork_answers_with_a_clear_error() -> None:
    ended = run("""
        import asyncio, os, gastown
        from gastown import _gastown
        probe = _gastown._probe()
        async def call(): return await probe.call("probe.echo", {"n": 1})
        assert asyncio.run(call()) == {"n": 1}
        child = os.fork()
        if child == 0:
            try:
                asyncio.run(call())
            except gastown.UnsupportedError as error:
                assert error.code == "forked" and error.facts["child"] == str(os.getpid()), error.facts
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert asyncio.run(call()) == {"n": 1}
    """)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_town_from_before_a_fork_is_the_parents_alone() -> None:
    ended = run("""
        import asyncio, os, sys, tempfile, gastown
        folder = tempfile.TemporaryDirectory()
        async def open_town(): return await gastown.open(folder.name)
        town = asyncio.run(open_town())
        async def create(title): return await town.beads.create(title)
        asyncio.run(create("before"))
        child = os.fork()
        if child == 0:
            folder._finalizer.detach()
            try:
                asyncio.run(create("in the child"))
            except gastown.UnsupportedError as error:
                assert error.code == "forked", error.code
                del town
                sys.exit(7)
            sys.exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert asyncio.run(create("after")).title == "after"
    """)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_program_may_end_without_closing_its_town() -> None:
    ended = run("""
        import asyncio, tempfile, gastown
        async def main():
            global town, watch
            town = await gastown.open(folder.name)
            await town.start()
            watch = town.events.watch()
            await anext(watch)
            asyncio.ensure_future(watch.__anext__())
            await asyncio.sleep(0)
        folder = tempfile.TemporaryDirectory()
        asyncio.run(main())
    """)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_before_the_first_call_does_no_harm() -> None:
    ended = run("""
        import asyncio, os
        from gastown import _gastown
        child = os.fork()
        async def call(): return await _gastown._probe().call("probe.echo", {"n": 1})
        assert asyncio.run(call()) == {"n": 1}
        if child == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    """)
    assert (ended.returncode, ended.stderr) == (0, "")
