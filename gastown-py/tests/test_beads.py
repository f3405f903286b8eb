"""Beads: the work graph and its errors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import gastown


async def test_beads_are_made_linked_listed_and_closed_and_the_journal_tells_it(town: gastown.Town) -> None:
    keel = await town.beads.create("Lay the keel", priority=1, labels=["hull"], metadata={"camelCase": {"a_b": [1, None]}})
    mast = await town.beads.create(title="Raise the mast", depends_on=[keel.id])
    sails = await town.beads.create("Sew the sails")
    assert keel.metadata == {"camelCase": {"a_b": [1, None]}}
    assert (await town.beads.link(sails.id, mast.id)).changed
    assert not (await town.beads.link(sails.id, mast.id)).changed
    assert [bead.id for bead in (await town.beads.ready()).beads] == [keel.id]
    assert (await town.beads.get(mast.id)).blockers == 1

    closed = await town.beads.close(keel.id, resolution="completed", reason="it lies")
    assert (closed.bead.status, closed.bead.resolution, closed.bead.close_reason) == ("closed", "completed", "it lies")
    assert (closed.changed, closed.unblocked) == (True, [mast.id])
    assert [bead.title for bead in (await town.beads.ready()).beads] == ["Raise the mast"]
    edges = await town.beads.edges(mast.id)
    assert edges.depends_on == [gastown.Link(mast.id, keel.id, "blocks")]
    assert edges.dependents == [gastown.Link(sails.id, mast.id, "blocks")]
    assert edges.cursor is None
    first = await town.beads.edges(mast.id, limit=1)
    assert (len(first.depends_on), len(first.dependents)) == (1, 0)
    rest = await town.beads.edges(mast.id, cursor=first.cursor)
    assert (len(rest.depends_on), len(rest.dependents), rest.cursor) == (0, 1, None)
    assert (await town.beads.unlink(sails.id, mast.id)).changed

    kinds = []
    async with town.events.watch() as journal:
        async for event in journal:
            kinds.append(event.kind)
            if event.kind == "dependency.removed":
                break
    assert kinds == ["town.founded", *["bead.created"] * 3, "dependency.added", "bead.closed", "dependency.removed"]

    with pytest.raises(gastown.NotFoundError) as caught:
        await town.beads.get("hq-none")
    assert (caught.value.code, caught.value.facts) == ("bead_missing", {"bead": "hq-none"})


async def test_a_circle_is_refused_and_shown(town: gastown.Town) -> None:
    a, b, c = [await town.beads.create(title) for title in "abc"]
    await town.beads.link(b.id, a.id)
    await town.beads.link(c.id, b.id, kind="blocks")
    with pytest.raises(gastown.InvalidError) as caught:
        await town.beads.link(a.id, c.id)
    assert caught.value.code == "cycle"
    assert caught.value.facts["cycle"] == f"{a.id} -> {c.id} -> {b.id} -> {a.id}"


async def test_a_repeated_key_gives_the_first_answer(town: gastown.Town) -> None:
    first = await town.beads.create("once", key="k1")
    assert await town.beads.create("once", key="k1") == first
    assert [bead.id for bead in (await town.beads.list()).beads] == [first.id]
    with pytest.raises(gastown.ConflictError) as caught:
        await town.beads.create("twice", key="k1")
    assert caught.value.code == "idempotency_key_reused"


async def test_a_stale_version_is_refused(town: gastown.Town) -> None:
    bead = await town.beads.create("x", metadata={"a": 1, "b": 2})
    newer = await town.beads.update(bead.id, expected_version=bead.version, notes="n", metadata={"a": None, "c": 3})
    assert (newer.notes, newer.metadata) == ("n", {"b": 2, "c": 3})
    with pytest.raises(gastown.ConflictError) as caught:
        await town.beads.update(bead.id, expected_version=bead.version, title="y")
    assert caught.value.code == "version_mismatch"
    assert caught.value.facts == {"bead": bead.id, "expected": "1", "found": str(newer.version)}


async def test_one_of_many_claims_a_bead_and_gives_it_back(town: gastown.Town) -> None:
    bead = await town.beads.create("x")
    claims = [town.beads.claim(f"person{n}", id=bead.id, lease_ms=60_000) for n in range(16)]
    answers = await asyncio.gather(*claims, return_exceptions=True)
    winners = [answer for answer in answers if isinstance(answer, gastown.Bead)]
    losers = [answer for answer in answers if isinstance(answer, gastown.ConflictError)]
    assert (len(winners), len(losers)) == (1, 15)
    assert {error.code for error in losers} == {"bead_held"}
    released = await town.beads.release(bead.id)
    assert (released.status, released.assignee) == ("open", None)
    assert (await town.beads.claim("tess")).id == bead.id


async def test_a_patch_leaves_clears_and_sets(town: gastown.Town) -> None:
    bead = await town.beads.create("x", owner="olga", due_at=7, labels=["a"], spec_id="docs/x.md")
    patched = await town.beads.update(bead.id, owner=None, pinned=True, add_labels=["b"], append_notes="n", parked_reason="tide")
    assert (patched.owner, patched.due_at, patched.spec_id, patched.pinned) == (None, 7, "docs/x.md", True)
    assert (patched.labels, patched.notes, patched.parked_reason) == (["a", "b"], "n", "tide")
    with pytest.raises(gastown.InvalidError) as caught:
        await town.call("beads.update", {"id": bead.id, "title": None})
    assert (caught.value.code, caught.value.facts["field"]) == ("field_not_clearable", "title")


async def test_a_plan_is_made_whole(town: gastown.Town) -> None:
    made = await town.beads.create_many(
        [
            {"key": "ship", "bead": {"title": "Build a ship", "issue_type": "epic"}},
            {"key": "keel", "bead": {"title": "Lay the keel"}, "part_of": "ship"},
            {"key": "mast", "bead": {"title": "Raise the mast"}, "part_of": "ship"},
        ],
        links=[{"bead": "mast", "on_bead": "keel"}],
    )
    ids = {bead.key: bead.id for bead in made.beads}
    assert [bead.id for bead in (await town.beads.ready()).beads] == [ids["keel"]]
    assert (await town.beads.get(ids["ship"])).open_parts == 2
    with pytest.raises(gastown.InvalidError) as caught:
        await town.beads.create_many([{"key": "a", "bead": {"title": "a"}}], links=[{"bead": "a", "on_bead": "!"}])
    assert caught.value.code == "key_unknown"


async def test_comments_are_added_listed_and_deleted(town: gastown.Town) -> None:
    bead = await town.beads.create("x")
    comment = await town.beads.comment(bead.id, "so be it", author="tess")
    assert (await town.beads.comments(bead.id)).comments == [comment]
    assert (await town.beads.delete_comment(bead.id, comment.id)).changed
    assert (await town.beads.get(bead.id)).comments == 0


async def test_a_bead_is_renamed_moved_and_deleted(town: gastown.Town) -> None:
    bead = await town.beads.create("x", id="hq-old")
    renamed = await town.beads.rename(bead.id, "hq-new")
    assert renamed.renamed == [gastown.NewId("hq-old", "hq-new")]
    assert (await town.beads.move_to_rig("hq-new")).renamed == []
    with pytest.raises(gastown.NotFoundError) as caught:
        await town.beads.move_to_rig("hq-new", rig="none")
    assert caught.value.code == "rig_missing"
    assert await town.beads.delete("hq-new", reason="no ship") == gastown.Deleted(["hq-new"], [])
    with pytest.raises(gastown.NotFoundError) as missing:
        await town.beads.get("hq-old")
    assert missing.value.facts["moved_to"] == "hq-new"


async def test_a_claim_is_renewed_and_filtered(town: gastown.Town) -> None:
    await town.beads.create("x", labels=["hot"])
    await town.beads.create("y", priority=0)
    held = await town.beads.claim("tess", lease_ms=60_000, only={"labels": ["hot"]})
    assert held.title == "x"
    lease = await town.beads.heartbeat(held.id, "tess", held.epoch, lease_ms=600_000)
    assert held.lease_until is not None and lease.lease_until > held.lease_until
    assert [bead.title for bead in (await town.beads.ready(sort="hybrid", priority_max=1)).beads] == ["y"]
    assert [bead.title for bead in (await town.beads.list(label_regex="^h.t$")).beads] == ["x"]
    await town.beads.create("part", parent=held.id)
    assert [bead.title for bead in (await town.beads.ready(parent=held.id, direct=True)).beads] == ["part"]
    with pytest.raises(gastown.ConflictError) as caught:
        await town.beads.close(held.id, expected_epoch=held.epoch + 1)
    assert caught.value.code == "epoch_stale"


async def test_a_closed_bead_can_be_opened_again(town: gastown.Town) -> None:
    bead = await town.beads.create("x")
    await town.beads.close(bead.id)
    assert (await town.beads.reopen(bead.id)).status == "open"


async def test_pages_follow_one_another(town: gastown.Town) -> None:
    made = [(await town.beads.create(f"bead {n}")).id for n in range(5)]
    seen, cursor = [], None
    while True:
        page = await town.beads.list(limit=2, cursor=cursor)
        seen += [bead.id for bead in page.beads]
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(seen) == sorted(made)


async def test_256_creates_at_once_make_256_beads(town: gastown.Town) -> None:
    beads = await asyncio.gather(*(town.beads.create(f"bead {n}") for n in range(256)))
    assert len({bead.id for bead in beads}) == 256
    assert len((await town.beads.list(limit=1000)).beads) == 256
    assert (await town.replay()).differences == []


@pytest.mark.parametrize(
    ("fields", "kind", "code", "facts"),
    [
        ({"title": 7}, "invalid", "input_malformed", {"operation": "beads.create"}),
        ({"title": None}, "invalid", "input_malformed", {"input": "NewBead"}),
        ({"title": "x", "colour": "red"}, "invalid", "input_malformed", {}),
        ({"title": "x", "priority": 2**40}, "invalid", "input_malformed", {}),
        ({"title": "x", "priority": 5}, "invalid", "priority_out_of_range", {"found": "5"}),
        ({"title": "x", "priority": float("nan")}, "invalid", "value_range", {"path": "priority"}),
        ({"title": "x", "due_at": 2**63}, "invalid", "value_range", {"path": "due_at"}),
        ({"title": "x", "due_at": 1.5}, "invalid", "input_malformed", {}),
        ({"title": "a\0b"}, "invalid", "title_malformed", {"bytes": "3"}),
        ({"title": ""}, "invalid", "title_malformed", {"bytes": "0"}),
        ({"title": "x" * 501}, "invalid", "title_malformed", {"bytes": "501"}),
        ({"title": "\ud800"}, "invalid", "value_text", {"path": "title"}),
        ({"title": "x", "labels": "hull"}, "invalid", "input_malformed", {}),
        ({"title": "x", "labels": ["gt:x"]}, "invalid", "label_reserved", {}),
        ({"title": "x", "metadata": []}, "invalid", "metadata_malformed", {}),
        ({"title": "x", "metadata": {"a": b"x"}}, "invalid", "value_type", {"path": "metadata.a"}),
        ({"title": "x", "rig": "../etc"}, "invalid", "name_malformed", {"found": '"../etc"', "operation": "beads.create"}),
        ({"title": "x", "rig": "none"}, "not_found", "rig_missing", {"rig": "none"}),
        ({"title": "x", "parent": "gt-1'; DROP TABLE bead"}, "invalid", "id_malformed", {"bytes": "22"}),
        ({"title": "x", "depends_on": ["hq-none"]}, "not_found", "bead_missing", {"bead": "hq-none"}),
    ],
)
async def test_a_wrong_input_is_a_typed_error(
    town: gastown.Town, fields: dict[str, Any], kind: str, code: str, facts: dict[str, str]
) -> None:
    with pytest.raises(gastown.GastownError) as caught:
        await town.beads.create(**fields)
    assert (caught.value.kind, caught.value.code) == (kind, code)
    assert facts.items() <= caught.value.facts.items()
    assert (await town.beads.list()).beads == []


async def test_a_missing_field_and_an_unknown_operation_are_typed_errors(town: gastown.Town) -> None:
    with pytest.raises(gastown.InvalidError, match="missing field `id`") as caught:
        await town.call("beads.get", {})
    assert caught.value.code == "input_malformed"
    with pytest.raises(gastown.NotFoundError) as missing:
        await town.call("beads.paint", {"id": "hq-1"})
    assert missing.value.code == "operation_unknown"
    assert (await town.call("beads.create", {"title": "x"}, key="k"))["title"] == "x"
