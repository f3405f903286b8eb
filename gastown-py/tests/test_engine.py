"""A town at work: real git, real processes, every operation that needs them."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from pathlib import Path

import pytest
from conftest import git

import gastown

HANG = 120
WORKER = """
set -e
case "$GASTOWN_TITLE" in
wait*) exec sleep 600;;
esac
echo "$GASTOWN_TITLE" > "$GASTOWN_BEAD.txt"
git add -A
git commit -q -m "$GASTOWN_TITLE"
"""


async def until(town: gastown.Town, kind: str, subject: str | None = None) -> gastown.Event:
    """The first event of a kind."""

    async def find() -> gastown.Event:
        async with town.events.watch() as journal:
            async for event in journal:
                if event.kind == kind and subject in (None, event.subject):
                    return event
        raise AssertionError("the town was closed")

    return await asyncio.wait_for(find(), HANG)


async def test_a_convoy_lands_and_every_answer_has_its_type(town: gastown.Town, origin: Path) -> None:
    settings = {"agent.command": ["sh", "-c", WORKER], "agent.environment": {"MY_var": "x"}}
    rig = await town.rigs.add("harbour", str(origin), settings=settings, prefix="hb", target="main")
    assert await town.rigs.get("harbour") == rig
    assert (await town.rigs.list()).rigs == [rig]
    assert (await town.rigs.configure({"sessions.max": 4}, rig="harbour")).changed
    toast = await town.agents.register("toast", rig="harbour")
    nux = await town.agents.register("nux", role="polecat", rig="harbour")
    assert await town.agents.get("toast") == toast
    assert {agent.name for agent in (await town.agents.list(rig="harbour", role="polecat")).agents} == {"toast", "nux"}

    tasks: list[gastown.Task] = [
        {"title": "lay the keel", "metadata": {"someKey": 1}},
        {"title": "raise the mast", "depends_on": [0], "labels": ["hull"], "priority": 1},
    ]
    convoy = await town.convoys.sling("a ship", "harbour", tasks, on_failure="block", key="ship")
    assert await town.convoys.sling("a ship", "harbour", tasks, on_failure="block", key="ship") == convoy
    await town.start()
    await until(town, "convoy.landed", convoy.id)
    landed = await town.convoys.get(convoy.id)
    assert (landed.state, landed.progress.closed, landed.landed_oid) == ("landed", 2, git(origin, "rev-parse", "main"))
    assert (await town.convoys.list()).convoys == [landed]

    for member in landed.members:
        bead = await town.beads.get(member)
        assert (bead.status, bead.convoy) == ("closed", convoy.id)
        (session,) = (await town.sessions.list(bead=member)).sessions
        assert (session.state, session.exit, session.agent in {toast.id, nux.id}) == ("ended", "succeeded", True)
        known = await town.sessions.get(session.id)
        assert dataclasses.replace(known, output=None) == session
        assert known.output == gastown.SessionOutput(0, 0, False)
        (review,) = (await town.reviews.list(source=member, state="merged")).reviews
        assert await town.reviews.get(review.id) == review
    with pytest.raises(gastown.GastownError):
        await town.convoys.land(convoy.id)
    health = await town.upkeep.health()
    assert (health.engine, health.effects_refused) == (gastown.EngineState("running"), [])

    # Every event has its type.
    page = await town.events.since(since=0, limit=1000)
    assert [event.seq for event in page.events] == list(range(1, page.head + 1))
    await town.stop()
    assert (await town.replay()).differences == []


HANDS_ON = """
if grep -q the.mast "$GASTOWN_BRIEF"; then exit 0; fi
echo hull > hull.txt
git add -A
git commit -q -m hull
echo ready
exec sleep 600
"""


async def test_an_agent_hands_its_bead_on_and_its_commits_are_merged(town: gastown.Town, origin: Path) -> None:
    await town.rigs.add("harbour", str(origin), settings={"agent.command": ["sh", "-c", HANDS_ON], "session.grace_ms": 200})
    await town.agents.register("toast", rig="harbour")
    bead = await town.beads.create("lay the keel", rig="harbour")
    await town.beads.sling(bead.id)
    await town.start()
    first = (await until(town, "session.started")).subject
    async with town.sessions.follow(first) as pages:
        async for page in pages:
            if "ready" in page.text:
                break
    agent = await town.session(first)
    left = await agent.sessions.checkpoint({"someKey": ["a"]})
    assert left.checkpoint == {"someKey": ["a"]}
    with pytest.raises(gastown.InvalidError) as large:
        await agent.sessions.checkpoint("x" * 20_000)
    assert (large.value.code, large.value.facts["bytes_max"]) == ("checkpoint_too_large", "16384")
    with pytest.raises(gastown.ForbiddenError) as others:
        await agent.sessions.handoff(session="s-other")
    assert others.value.code == "session_of_another"
    with pytest.raises(gastown.InvalidError) as unnamed:
        await town.sessions.handoff()
    assert unnamed.value.code == "session_unnamed"
    assert (await agent.sessions.handoff({"next": "the mast"})).ending == "handed_off"
    await until(town, "bead.closed", bead.id)
    tried = await town.beads.attempts(bead.id)
    assert [(attempt.exit, attempt.fault) for attempt in tried.attempts] == [("handed_off", None), ("succeeded", None)]
    assert (tried.failure, tried.failures, tried.agent_failures) == (None, 0, 0)
    assert git(origin, "show", "main:hull.txt") == "hull"


async def test_a_breaker_tells_a_person_and_what_was_given_up_is_listed(town: gastown.Town, origin: Path) -> None:
    settings = {"breaker.failures": 1, "breaker.wait_ms": [3_600_000]}
    await town.rigs.add("harbour", str(origin), settings=settings)
    await town.agents.register("toast", rig="harbour")
    bead = await town.beads.create("lay the keel", rig="harbour")
    await town.beads.sling(bead.id)
    await town.start()
    await until(town, "breaker.opened")
    (breaker,) = (await town.health()).breakers
    status = await town.upkeep.status()
    assert status.breakers == [breaker]
    assert [told.bead for told in status.escalations] == [breaker.escalation]
    assert status.agents == [gastown.AgentCount("harbour", "polecat", "idle", 1)]
    assert (status.slung, status.pause) == (1, gastown.TownPause(None, None))
    counted = {(it.name, *it.labels.values()): it for it in (await town.upkeep.metrics()).metrics}
    assert counted["gastown_breaker_trips_total", "rig"].value == 1
    assert counted["gastown_commands_total", "beads.sling", "ok"].value == 1
    assert counted["gastown_beads", "slung"].kind == "gauge"
    ticks = counted["gastown_tick_duration_seconds",]
    assert ticks.value is None and ticks.count is not None and ticks.count > 0
    assert ticks.buckets[-1] == gastown.MetricBucket(2_592_000, ticks.count)
    assert status.leader is not None
    assert status.leader.lease_until > status.at
    assert status.recent[-1].seq == status.head
    assert (breaker.subject, breaker.state, breaker.failures) == ("rig/harbour", "open", 1)
    assert breaker.escalation is not None and (await town.beads.get(breaker.escalation)).kind == "escalation"
    reasons = {reason.reason: reason for reason in (await town.beads.explain(bead.id)).reasons}
    assert (reasons["breaker"].by, reasons["breaker"].until) == ("rig/harbour", breaker.until)
    tried = await town.beads.attempts(bead.id)
    assert [(attempt.exit, attempt.fault) for attempt in tried.attempts] == [("refused", "infrastructure")]
    (given_up,) = (await town.effects.list(kind="start")).effects
    assert (given_up.state, given_up.setback, given_up.rig) == ("refused", "refused", "harbour")
    assert "agent.command" in (given_up.outcome or "")
    with pytest.raises(gastown.ConflictError) as unwanted:
        await town.effects.retry(given_up.id)
    assert unwanted.value.code == "effect_unwanted"
    with pytest.raises(gastown.NotFoundError) as missing:
        await town.effects.retry("stop#s-none#1")
    assert missing.value.code == "effect_missing"


async def test_what_is_paused_or_parked_waits_and_says_so(town: gastown.Town, origin: Path) -> None:
    await town.rigs.add("harbour", str(origin), settings={"agent.command": ["sh", "-c", WORKER]})
    await town.agents.register("toast", rig="harbour")
    await town.agents.register("nux", rig="harbour")
    paused = await town.agents.pause("toast", "a leak")
    assert (paused.state, paused.paused_reason, paused.paused_until) == ("paused", "a leak", None)
    assert (await town.agents.retire("nux")).state == "retired"
    until = time.time_ns() // 1_000 + 3_600_000_000
    assert await town.upkeep.pause("a storm", until=until) == gastown.TownPause("a storm", until)
    assert (await town.rigs.pause("harbour", "ice")).paused_reason == "ice"
    bead = await town.beads.create("wait for the ice", rig="harbour")
    slung = await town.beads.sling_many([{"bead": bead.id, "role": "polecat"}])
    assert [(one.id, one.status, one.slung) for one in slung.beads] == [(bead.id, "open", True)]

    reasons = (await town.beads.explain(bead.id)).reasons
    assert [reason.reason for reason in reasons] == ["slung", "town_paused", "rig_paused", "no_idle_agent"]
    assert (reasons[1].text, reasons[1].until, reasons[3].running, reasons[3].limit) == ("a storm", until, 1, 0)
    assert await town.upkeep.resume() == gastown.TownPause(None, None)
    assert (await town.rigs.resume("harbour")).state == "active"
    assert (await town.sessions.plan()).starts == []
    assert (await town.agents.resume("toast")).state == "idle"
    (start,) = (await town.sessions.plan()).starts
    assert (start.bead, start.agent, start.is_new_agent, start.rig_running) == (bead.id, "toast", False, 0)
    assert (await town.beads.park(bead.id, "no tide")).parked_reason == "no tide"
    assert (await town.sessions.plan()).starts == []
    assert (await town.beads.unpark(bead.id)).parked_reason is None
    with pytest.raises(gastown.ConflictError) as retired:
        await town.agents.pause("nux", "a leak")
    assert retired.value.code == "agent_retired"
    with pytest.raises(gastown.InvalidError) as reasonless:
        await town.upkeep.pause(" ")
    assert reasonless.value.code == "reason_missing"

    hooked = await town.agents.hook("toast", bead.id)
    assert (hooked.state, hooked.hook, hooked.session) == ("hooked", bead.id, None)
    with pytest.raises(gastown.ConflictError) as busy:
        await town.agents.hook("toast", (await town.beads.create("another", rig="harbour")).id)
    assert (busy.value.code, busy.value.facts["bead"]) == ("agent_busy", bead.id)
    assert (await town.agents.unhook("toast")).hook is None

    await town.beads.sling(bead.id)
    history = await town.agents.history("toast", limit=10)
    assert [(work.bead, work.exit, work.duration_ms) for work in history.work] == [(bead.id, None, None)]
    assert (history.agent.hook, history.cursor) == (bead.id, None)


async def test_handles_see_and_do_what_their_scope_allows(town: gastown.Town, origin: Path) -> None:
    await town.rigs.add("harbour", str(origin), settings={"agent.command": ["sh", "-c", WORKER]})
    await town.agents.register("toast", rig="harbour")
    elsewhere = await town.beads.create("the town's own")
    bead = await town.beads.create("wait for the tide", rig="harbour")
    harbour = town.rig("harbour")
    assert [seen.id for seen in (await harbour.beads.list()).beads] == [bead.id]
    with pytest.raises(gastown.NotFoundError):
        await harbour.beads.get(elsewhere.id)
    with pytest.raises(gastown.InvalidError) as malformed:
        town.rig("../x")
    assert malformed.value.code == "name_malformed"

    await town.start()
    assert (await town.beads.sling(bead.id, to="toast")).slung
    await until(town, "session.started")
    (running,) = (await town.sessions.list(state="running")).sessions
    agent = await town.session(running.id)
    assert (await agent.beads.create("found on the way", rig="harbour")).created_by.startswith("polecat/")
    with pytest.raises(gastown.ForbiddenError) as forbidden:
        await agent.beads.close(bead.id)
    assert forbidden.value.code == "role_not_allowed"

    await town.sessions.stop(running.id)
    await until(town, "session.ended", running.id)
    stopped = await town.beads.get(bead.id)
    assert (stopped.status, stopped.slung) == ("open", False)
    with pytest.raises(gastown.ConflictError) as stale:
        await agent.beads.get(bead.id)
    assert stale.value.code == "epoch_stale"
    with pytest.raises(gastown.NotFoundError):
        await town.session("s-none")


async def test_a_host_that_goes_away_is_drained_and_the_next_engine_goes_on(town: gastown.Town, origin: Path) -> None:
    script = """
        if [ "$GASTOWN_EPOCH" = 1 ]; then echo half > half.txt; echo ready; exec sleep 1000; fi
        [ "$(cat half.txt)" = half ] || exit 3
        git add -A; git commit -q -m whole"""
    await town.rigs.add("harbour", str(origin), settings={"agent.command": ["sh", "-c", script]})
    await town.agents.register("toast", rig="harbour")
    bead = await town.beads.create("lay the keel", rig="harbour")
    with pytest.raises(gastown.ConflictError) as off:
        await town.drain("a storm")
    assert off.value.code == "engine_not_running"
    await town.beads.sling(bead.id)
    await town.start()
    started = await until(town, "session.started")
    async with town.sessions.follow(started.subject) as pages:
        async for page in pages:
            if "ready" in (page.text or ""):
                break
    draining = await town.upkeep.drain("the machine is taken away", grace_ms=600_000)
    assert (draining.reason, draining.sessions, draining.saving) == ("the machine is taken away", 1, 0)
    assert (await town.upkeep.status()).draining == draining
    await town.drain("now", grace_ms=0)
    (first,) = (await town.beads.attempts(bead.id)).attempts
    assert (first.exit, first.fault, first.head) == ("drained", None, None)
    assert first.saved is not None
    assert (await town.sessions.get(first.session)).saved == first.saved
    with pytest.raises(gastown.InvalidError) as reason:
        await town.upkeep.drain(" ")
    assert reason.value.code == "reason_missing"
    await town.start()
    await until(town, "bead.closed")
    assert (await town.beads.get(bead.id)).resolution == "merged"


async def test_a_doctor_says_what_keeps_a_town_from_working(town: gastown.Town, origin: Path) -> None:
    await town.rigs.add("harbour", str(origin))
    diagnosis = await town.upkeep.doctor()
    (command,) = [symptom for symptom in diagnosis.symptoms if symptom.rig is not None]
    assert (command.kind, command.subject, command.is_repaired) == ("agent_command_missing", "harbour", False)
    assert command.problem and "agent.command" in command.remedy
    await town.rigs.configure({"agent.command": ["true"]}, rig="harbour")
    stray = Path(town.dir) / "gates" / "gate-ha-none-0123456789"
    stray.mkdir(parents=True)
    repaired = await town.upkeep.doctor(repair=True)
    assert [(symptom.kind, symptom.is_repaired) for symptom in repaired.symptoms] == [("gate_tree_orphaned", True)]
    assert repaired.repaired == 1
    assert not stray.exists()
    assert await town.upkeep.doctor() == gastown.Diagnosis([], 0)


async def test_somebody_judges_a_session_that_shows_nothing(town: gastown.Town, origin: Path) -> None:
    quick = {"session.heartbeat_ms": 100, "progress.nudge_ms": 100, "progress.triage_ms": 200}
    await town.rigs.add("harbour", str(origin), settings={"agent.command": ["sh", "-c", "exec sleep 1000"], **quick})
    await town.agents.register("toast", rig="harbour")
    bead = await town.beads.create("lay the keel", rig="harbour")
    await town.beads.sling(bead.id)
    await town.start()
    session = (await until(town, "session.triaged")).subject
    (request,) = (await town.triage.list()).requests
    assert (request.kind, request.bead, request.epoch, request.session) == ("stuck_session", bead.id, 1, session)
    assert request.options == ["wait", "nudge", "restart", "restart_later", "stop"]
    with pytest.raises(gastown.InvalidError) as option:
        await town.triage.resolve(request.id, "park")
    assert (option.value.code, option.value.facts["found"]) == ("triage_option", "park")
    assert await town.triage.resolve(request.id, "stop", note="it dreams") == request
    await until(town, "session.ended", session)
    assert (await town.sessions.get(session)).exit == "cancelled"
    with pytest.raises(gastown.ConflictError) as closed:
        await town.triage.resolve(request.id, "stop")
    assert closed.value.code == "triage_closed"
    assert (await town.triage.list()).requests == []
