"""Finding beads, and reserving paths."""

from __future__ import annotations

from pathlib import Path

import pytest

import gastown


async def test_beads_are_found_by_queries_and_by_words(town: gastown.Town) -> None:
    keel = await town.beads.create("Lay the keel", description="of red oak", priority=1, labels=["hull"])
    mast = await town.beads.create("Raise the mast", description="behind the keel")
    await town.beads.create("Sew sails", priority=4)

    page = await town.beads.query("priority <= 2 and not label = missing", sort="priority")
    assert [bead.id for bead in page.beads] == [keel.id, mast.id]
    page = await town.beads.query("description = oak or label = hull", limit=1)
    assert ([bead.title for bead in page.beads], page.cursor) == (["Lay the keel"], None)
    with pytest.raises(gastown.InvalidError) as caught:
        await town.beads.query("status = opn")
    assert (caught.value.code, caught.value.facts["position"]) == ("query_malformed", "9")

    page = await town.beads.search("keel")
    assert [bead.id for bead in page.beads] == [keel.id, mast.id], "what has it in the title comes first"
    page = await town.beads.search('"the keel" -oak', sort="newest", query="priority = 2")
    assert [bead.id for bead in page.beads] == [mast.id]
    with pytest.raises(gastown.InvalidError) as caught:
        await town.beads.search('"open')
    assert caught.value.code == "search_malformed"


async def test_beads_are_counted_and_compared(town: gastown.Town) -> None:
    one = await town.beads.create("Lay the keel", labels=["hull"])
    two = await town.beads.create("Lay the keel")
    near = await town.beads.create("Lay the keel now")
    await town.beads.close((await town.beads.create("Done")).id)

    counts = await town.beads.count(by=["label"], query="status = open")
    assert counts.total == 3
    assert {(group.values[0], group.count) for group in counts.groups} == {(None, 2), ("hull", 1)}
    counts = await town.beads.count(by=["creator", "pinned"], metadata=["team"])
    assert [group.values[1:] for group in counts.groups] == [["false", None]]
    stats = await town.beads.stats()
    assert (stats.total, stats.ready, stats.lead.issues) == (4, 3, 1)
    assert gastown.StatusCount("closed", 1) in stats.by_status
    assert (await town.beads.stale(days=0)).beads != []
    assert (await town.beads.stale()).beads == []
    found = await town.beads.duplicates(likeness=0.7)
    assert found.is_complete
    assert [set(group.beads) for group in found.same] == [{one.id, two.id}]
    assert near.id in (found.near[0].one, found.near[0].other)


async def test_what_was_is_told(town: gastown.Town) -> None:
    bead = await town.beads.create("Lay the keel")
    await town.beads.update(bead.id, priority=0, metadata={"some_key": 1})
    await town.beads.close(bead.id)
    history = await town.beads.history(bead.id)
    assert [entry.kind for entry in history.entries] == ["bead.created", "bead.updated", "bead.closed"]
    changes = {change.field: (change.before, change.after) for change in history.entries[1].changes}
    assert changes == {"priority": (2, 0), "metadata": ({}, {"some_key": 1})}
    assert (history.cursor, history.missing_before) == (None, None)
    page = await town.beads.at(history.entries[0].seq)
    assert [(then.id, then.priority, then.status) for then in page.beads] == [(bead.id, 2, "open")]
    with pytest.raises(gastown.NotFoundError) as caught:
        await town.beads.at(99)
    assert caught.value.code == "seq_beyond_head"


async def test_paths_are_reserved(town: gastown.Town, origin: Path) -> None:
    harbour = (await town.rigs.add("harbour", str(origin))).name
    hull = await town.beads.create("Paint the hull", rig=harbour)
    deck = await town.beads.create("Scrub the deck", rig=harbour)
    reserved = await town.reservations.add(hull.id, ["hull/**"], ttl_ms=60_000)
    assert ([held.pattern for held in reserved.reservations], reserved.is_complete) == (["hull/**"], True)
    told = await town.reservations.add(deck.id, ["*/deck.md"])
    assert [(one.pattern, one.reservation.bead) for one in told.overlaps] == [("*/deck.md", hull.id)]
    assert told.overlaps[0].example == "hull/deck.md"
    overlaps = await town.reservations.overlaps(harbour, ["hull/a"], but=deck.id)
    assert [one.reservation.bead for one in overlaps.overlaps] == [hull.id]
    assert (await town.reservations.remove(deck.id)).changed
    page = await town.reservations.list(rig=harbour)
    assert [held.bead for held in page.reservations] == [hull.id]
    await town.beads.close(hull.id)
    assert (await town.reservations.list(bead=hull.id)).reservations == []
    with pytest.raises(gastown.InvalidError) as caught:
        await town.reservations.overlaps(harbour, ["[open"])
    assert caught.value.code == "pattern_malformed"
