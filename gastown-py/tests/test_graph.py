"""What can be asked of the work graph."""

from __future__ import annotations

import pytest

import gastown


async def test_the_graph_explains_plans_and_lists_itself(town: gastown.Town) -> None:
    keel = await town.beads.create("Lay the keel", estimate_minutes=10)
    ship = await town.beads.create("Build the ship", issue_type="epic", depends_on=[keel.id])
    deck = await town.beads.create("Plank the deck", parent=ship.id)
    crew = await town.beads.create("Hire a crew")
    assert (await town.beads.link(crew.id, ship.id, kind="waits-for", gate="any-children")).changed

    told = await town.beads.explain(deck.id)
    assert not told.is_ready
    reasons = [(reason.reason, reason.bead, reason.other, reason.why) for reason in told.reasons]
    assert reasons == [("parent", deck.id, ship.id, "blocked"), ("edge", ship.id, keel.id, "not_done")]
    assert (await town.beads.explain(keel.id)).is_ready

    page = await town.beads.children(ship.id, all=True)
    assert [(bead.id, bead.blockers) for bead in page.beads] == [(deck.id, 1)]
    tree = await town.beads.dependencies(deck.id)
    assert [(node.id, node.depth, node.via) for node in tree.nodes] == [(ship.id, 1, deck.id), (keel.id, 2, ship.id)]
    tree = await town.beads.dependents(keel.id, depth=1)
    assert ([node.id for node in tree.nodes], tree.more) == ([ship.id], True)
    blocked = await town.beads.blocked()
    assert [entry.bead.id for entry in blocked.blocked] == [ship.id, deck.id, crew.id]
    assert blocked.blocked[0].blocked_by == [gastown.Blocker(keel.id, "blocks", "open")]
    epics = await town.beads.epics()
    assert [(epic.bead.id, epic.bead.parts, epic.is_closable) for epic in epics.epics] == [(ship.id, 1, False)]
    plan = await town.beads.plan(estimate_minutes=5)
    assert (plan.count, plan.widths, plan.minutes) == (4, [1, 2, 1], 20)
    assert plan.critical_path[0] == keel.id
    assert plan.unblocks[0].id == keel.id
    assert await town.beads.loose_edges() == gastown.LoosePage([], None)
    assert (await town.beads.edges(crew.id)).depends_on == [
        gastown.Link(crew.id, ship.id, "waits-for", "any-children")
    ]

    with pytest.raises(gastown.InvalidError) as caught:
        await town.beads.link(keel.id, deck.id)
    assert caught.value.code == "cycle"
    assert caught.value.facts["cycle"] == " -> ".join([keel.id, deck.id, ship.id, keel.id])
    gate = await town.beads.explain((await town.beads.create("x", issue_type="gate")).id)
    assert (gate.is_ready, [(why.reason, why.text) for why in gate.reasons]) == (False, [("type", "gate")])
