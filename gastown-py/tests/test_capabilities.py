"""Callers who show a token."""

from __future__ import annotations

from pathlib import Path

import pytest

import gastown


async def test_a_token_does_what_its_scope_may_until_it_is_revoked(town: gastown.Town) -> None:
    issued = await town.capabilities.issue(user="tess@example.org", ttl_ms=60_000)
    assert issued.token not in repr(issued)
    tess = await town.with_token(issued.token)
    bead = await tess.beads.create("Lay the keel")
    assert bead.created_by == issued.principal == "user/tess@example.org"
    less = await town.capabilities.attenuate(issued.token, verbs=["beads.list", "beads.get"])
    reader = await town.with_token(less.token)
    assert [found.id for found in (await reader.beads.list()).beads] == [bead.id]
    with pytest.raises(gastown.ForbiddenError) as refused:
        await reader.beads.close(bead.id)
    assert (refused.value.code, refused.value.facts["verb"]) == ("verb_not_granted", "beads.close")
    with pytest.raises(gastown.ForbiddenError) as wider:
        await town.capabilities.attenuate(less.token, verbs=["beads.close"])
    assert wider.value.code == "verb_not_granted"
    listed = {found.id: found for found in (await town.capabilities.list()).capabilities}
    assert listed[less.id].verbs == ["beads.get", "beads.list"]
    assert (listed[less.id].parent, listed[issued.id].parent) == (issued.id, None)
    assert (await town.capabilities.revoke(issued.id, reason="she left")).changed
    for handle in (tess, reader):
        with pytest.raises(gastown.ForbiddenError) as revoked:
            await handle.beads.list()
        assert revoked.value.code == "capability_revoked"
    (gone, _) = sorted((await town.capabilities.list(all=True)).capabilities, key=lambda found: found.parent or "")
    assert gone.revoked_reason == "she left"


async def test_a_token_that_is_none_is_refused_and_not_shown(town: gastown.Town) -> None:
    for token in ("", "open sesame", "a.b.c", "x" * 10_000):
        with pytest.raises(gastown.ForbiddenError) as refused:
            await town.with_token(token)
        assert refused.value.code == "token_malformed"
        assert not token or token not in refused.value.chain
    with pytest.raises(gastown.InvalidError) as unnamed:
        await town.capabilities.issue()
    assert unnamed.value.code == "field_missing"


async def test_keys_rotate_and_can_be_the_hosts(town: gastown.Town, tmp_path: Path) -> None:
    issued = await town.capabilities.issue(user="tess")
    rotated = await town.capabilities.rotate_keys(algorithm="HS256")
    assert [(key.algorithm, key.ends_at is None) for key in rotated.keys] == [("HS256", True), ("EdDSA", False)]
    await town.with_token(issued.token)
    await town.capabilities.rotate_keys(keep_ms=0)
    with pytest.raises(gastown.ForbiddenError) as ended:
        await town.with_token(issued.token)
    assert ended.value.code == "token_key_unknown"
    issued = await town.capabilities.issue(user="tess")
    keys = (tmp_path / "town" / "keys.json").read_text()
    async with gastown.open(tmp_path / "other", keys=keys) as other:
        # Its key holds there, and it is another database's.
        with pytest.raises(gastown.ForbiddenError) as unknown:
            await other.with_token(issued.token)
        assert unknown.value.code == "capability_unknown"
        with pytest.raises(gastown.ConflictError) as kept:
            await other.capabilities.rotate_keys()
        assert kept.value.code == "keys_of_host"
    with pytest.raises(gastown.InvalidError) as malformed:
        await gastown.open(tmp_path / "third", keys="{}")
    assert malformed.value.code == "keys_malformed"


async def test_a_user_calls_in_its_own_name(town: gastown.Town) -> None:
    bead = await town.user("tess").beads.create("Raise the mast")
    assert bead.created_by == "user/tess"
    with pytest.raises(gastown.InvalidError) as malformed:
        town.user("a b")
    assert malformed.value.code == "name_malformed"
