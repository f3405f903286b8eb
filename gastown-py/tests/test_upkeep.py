"""The whole town: copies, looks over it, what is put away."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import gastown

START = 1_763_670_000_000_000
DAY = 24 * 3600 * 1_000_000


async def test_a_backup_is_a_town_again(town: gastown.Town, tmp_path: Path) -> None:
    bead = await town.beads.create("Lay the keel", labels=["hull"])
    backup = await town.backup(tmp_path / "monday")
    assert (backup.head, Path(backup.path)) == (2, tmp_path / "monday")
    assert backup.files >= 2
    async with gastown.restore(tmp_path / "monday", tmp_path / "again") as again:
        assert await again.beads.get(bead.id) == bead
        assert (await again.upkeep.check()).findings == []
    with pytest.raises(gastown.ConflictError) as caught:
        await town.upkeep.backup(tmp_path / "monday")
    assert caught.value.code == "path_taken"
    with pytest.raises(gastown.ConflictError) as caught:
        await gastown.restore(tmp_path / "monday", tmp_path / "again")
    assert caught.value.code == "town_not_empty"


async def test_an_export_is_lines_that_make_a_town(town: gastown.Town, tmp_path: Path) -> None:
    bead = await town.beads.create("Raise the mast")
    exported = await town.upkeep.export(tmp_path / "town.jsonl")
    assert (exported.unreadable, exported.bytes) == (0, (tmp_path / "town.jsonl").stat().st_size)
    async with gastown.restore(tmp_path / "town.jsonl", tmp_path / "again", durability="normal") as again:
        assert await again.beads.get(bead.id) == bead
        assert (await again.health()).durability == "normal"
    lines = (tmp_path / "town.jsonl").read_bytes()
    (tmp_path / "cut.jsonl").write_bytes(lines[: len(lines) // 2])
    with pytest.raises(gastown.CorruptError) as caught:
        await gastown.restore(tmp_path / "cut.jsonl", tmp_path / "cut")
    assert caught.value.code == "dump_truncated"
    assert not (tmp_path / "cut" / "town.db").exists()


async def test_what_is_over_is_put_away_and_its_space_given_back(tmp_path: Path) -> None:
    clock = gastown.ManualClock(START)
    async with gastown.open(tmp_path / "town", clock=clock) as town:
        done, left = [await town.beads.create(title) for title in ("done", "left")]
        await town.beads.close(done.id)
        clock.advance(DAY)
        archived = await town.upkeep.archive(closed_before=START + DAY, events_before=START + DAY)
        assert archived.beads == 1 and archived.events > 0 and len(archived.files) == 2
        assert all(Path(file).exists() for file in archived.files)
        assert [bead.id for bead in (await town.beads.list()).beads] == [left.id]
        with pytest.raises(gastown.NotFoundError) as caught:
            await town.events.since(since=0)
        health = await town.health()
        assert (caught.value.code, caught.value.facts["first"]) == ("events_archived", str(health.first))
        vacuumed = await town.upkeep.vacuum()
        assert vacuumed.bytes_before is not None and vacuumed.bytes_after is not None
        checked = await town.upkeep.check()
        assert (checked.findings, checked.events) == ([], health.head)
        (put_away,) = (await town.upkeep.archived(limit=5)).beads
        assert (put_away.id, put_away.title, put_away.status) == (done.id, "done", "closed")
        back = await town.upkeep.recall(done.id, key="once")
        assert (back.title, back.status) == ("done", "closed")
        assert (await town.upkeep.recall(done.id, key="once")) == back
        with pytest.raises(gastown.ConflictError) as twice:
            await town.upkeep.recall(done.id)
        assert twice.value.code == "bead_exists"
        assert (await town.upkeep.archived()).beads == []
        with pytest.raises(gastown.NotFoundError) as never:
            await town.upkeep.recall("gt-never")
        assert never.value.code == "bead_not_archived"
        assert (await town.upkeep.check()).findings == []
        with pytest.raises(gastown.InvalidError) as caught_invalid:
            await town.upkeep.archive()
        assert caught_invalid.value.code == "archive_unbounded"


DAMAGES = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("UPDATE bead SET metadata = '{wibble'")
db.commit()
db.close()
"""


async def test_a_row_that_cannot_be_read_is_taken_out_and_comes_back_mended(town: gastown.Town, tmp_path: Path) -> None:
    keel, mast = [await town.beads.create(title) for title in ("Lay the keel", "Raise the mast")]
    # Another process: a second SQLite within this one would take the first one's locks away when it closes.
    subprocess.run([sys.executable, "-c", DAMAGES, str(Path(town.dir) / "town.db")], check=True)
    with pytest.raises(gastown.CorruptError) as caught:
        await town.beads.get(keel.id)
    assert caught.value.code == "row_unreadable"
    taken = await town.upkeep.quarantine()
    assert (len(taken.rows), taken.left, taken.has_more) == (2, [], False)
    assert (await town.upkeep.quarantine()).rows == []
    page = await town.upkeep.quarantined(limit=1)
    rest = await town.upkeep.quarantined(cursor=page.cursor)
    rows = {row.columns["title"]: row for row in page.rows + rest.rows}
    row = rows["Lay the keel"]
    assert (row.table, row.key, row.columns["metadata"]) == ("bead", [keel.id], "{wibble")
    assert (await town.health()).quarantined == 2
    with pytest.raises(gastown.InvalidError) as refused:
        await town.upkeep.mend(row.id)
    assert (refused.value.code, refused.value.facts["column"]) == ("row_still_unreadable", "metadata")
    assert await town.upkeep.mend(row.id, columns={"metadata": "{}"}, key="once") == row
    assert await town.upkeep.mend(row.id, columns={"metadata": "{}"}, key="once") == row
    assert (await town.beads.get(keel.id)).title == "Lay the keel"
    given_up = await town.upkeep.discard(rows["Raise the mast"].id)
    assert given_up.key == [mast.id]
    with pytest.raises(gastown.NotFoundError) as missing:
        await town.upkeep.discard(given_up.id)
    assert missing.value.code == "row_missing"
    assert ((await town.upkeep.check()).findings, (await town.health()).quarantined) == ([], 0)


async def test_a_machine_has_a_name_without_colons(tmp_path: Path) -> None:
    async with gastown.open(tmp_path / "town", host="alpha"):
        pass
    with pytest.raises(gastown.InvalidError) as caught:
        await gastown.open(tmp_path / "town", host="alpha:1")
    assert caught.value.code == "host_malformed"


async def test_health_says_how_the_database_is(town: gastown.Town) -> None:
    health = await town.upkeep.health()
    assert (health.backend, health.durability, health.unreadable) == ("sqlite", "full", [])
    assert health.schema >= 2 and health.database_bytes is not None and health.first == 1


async def test_nothing_is_told_done_once_the_file_is_gone(town: gastown.Town) -> None:
    assert (await town.health()).store_problem is None
    (Path(town.dir) / "town.db").unlink()
    for _ in range(2):
        with pytest.raises(gastown.UnavailableError) as gone:
            await town.beads.create("lost")
        assert gone.value.code == "store_gone"
    assert "town.db" in str((await town.health()).store_problem)
    with pytest.raises(gastown.UnavailableError) as gone:
        await town.upkeep.check()
    assert gone.value.code == "store_gone"


async def test_beads_come_in_from_a_file_of_another_tool_and_go_out_to_it(town: gastown.Town, tmp_path: Path) -> None:
    line = '{"id":"gt-1","title":"Raise the mast","status":"open","priority":2,"issue_type":"task",'
    line += '"created_at":"2025-10-11T20:00:00Z","updated_at":"2025-10-11T20:00:00Z","pinned":0}\n'
    (tmp_path / "in.jsonl").write_text(line + "no line\n")
    report = await town.beads.import_from(tmp_path / "in.jsonl", dry_run=True)
    assert (report.created, report.repairs["bool_as_number"]) == (1, 1)
    assert report == await town.beads.import_from(tmp_path / "in.jsonl")
    assert [(flaw.line, flaw.code) for flaw in report.flawed_lines] == [(2, "not_json")]
    exported = await town.beads.export_to(tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == line
    assert (exported.beads, exported.bytes) == (1, len(line))
    with pytest.raises(gastown.InvalidError) as caught:
        await town.beads.import_from(tmp_path / "in.jsonl", strict=True)
    assert caught.value.code == "import_flawed"


async def test_an_import_tells_what_it_sets_aside_keeps_both_of_one_id_and_how_beads_ended(
    town: gastown.Town, tmp_path: Path
) -> None:
    def line(title: str, made: str, **more: object) -> str:
        return json.dumps({"id": "gt-1", "title": title, "status": "open", "created_at": made, "updated_at": made, **more})

    first = line("Raise the mast", "2025-10-11T20:00:00Z", priority=2, issue_type="task", metadata=[1])
    second = line("Fell the oak", "2025-10-12T20:00:00Z", priority=2, issue_type="task")
    (tmp_path / "in.jsonl").write_text(f"{first}\n{second}\n")
    report = await town.beads.import_from(tmp_path / "in.jsonl")
    told = next(told for told in report.repaired if told.code == "value_set_aside")
    assert (told.file, told.line, told.column, told.key) == ("in.jsonl", 1, first.index("[1]") + 1, "metadata")
    (conflict,) = report.conflicting
    assert (conflict.bead, conflict.why, report.created) == ("gt-1", "id_shared", 2)
    assert conflict.kept_as is not None
    assert (await town.beads.get(conflict.kept_as)).title == "Fell the oak"
    await town.beads.close("gt-1", resolution="cancelled", reason="no wood")
    await town.beads.export_to(tmp_path / "out.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert next(line for line in lines if line["id"] == "gt-1")["resolution"] == "cancelled"
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "out.jsonl")
    with pytest.raises(gastown.InvalidError) as caught:
        await town.beads.export_to(tmp_path / "link.jsonl", replace=True)
    assert caught.value.code == "not_a_file"


def issue(title: str, priority: int, at: str) -> str:
    line = {"id": "gt-1", "title": title, "status": "open", "priority": priority, "issue_type": "task"}
    return json.dumps({**line, "created_at": "2025-10-11T20:00:00Z", "updated_at": at}) + "\n"


async def test_a_town_and_a_beads_folder_are_kept_equal(town: gastown.Town, tmp_path: Path) -> None:
    folder = tmp_path / ".beads"
    folder.mkdir()
    file = folder / "issues.jsonl"
    file.write_text(issue("Raise the mast", 2, "2025-10-11T20:00:00Z") + "no line\n")
    dry = await town.beads.sync(tmp_path, dry_run=True)
    assert (dry.created, dry.flaws, dry.dialect, dry.path) == (1, 1, "native", str(file.resolve()))
    assert (await town.beads.sync(tmp_path)).created == 1
    await town.beads.update("gt-1", priority=0)
    file.write_text(issue("Raise both masts", 2, "2025-10-12T20:00:00Z") + "no line\n")
    both = await town.beads.sync(folder)
    assert (both.updated, both.lines_changed, both.choices) == (1, 1, 0)
    bead = await town.beads.get("gt-1")
    assert (bead.title, bead.priority) == ("Raise both masts", 0)
    line, rest = file.read_text().splitlines()
    assert (json.loads(line)["priority"], rest) == (0, "no line")
    again = await town.beads.sync(folder)
    assert (again.unchanged, again.updated, again.lines_changed) == (1, 0, 0)
    file.unlink()
    with pytest.raises(gastown.ConflictError) as gone:
        await town.beads.sync(folder)
    assert (gone.value.code, gone.value.facts["gone"]) == ("sync_file_incomplete", "1")
    assert (await town.beads.sync(folder, accept_deletions=True)).deleted == 1
    with pytest.raises(gastown.NotFoundError) as caught:
        await town.beads.sync(tmp_path / "nowhere")
    assert caught.value.code == "path_missing"


async def test_what_a_killed_restore_left_is_opened_by_nobody(tmp_path: Path) -> None:
    (tmp_path / "restore.unfinished").touch()
    with pytest.raises(gastown.ConflictError) as caught:
        await gastown.open(tmp_path)
    assert caught.value.code == "restore_unfinished"


def test_files_that_grew_apart_are_merged(tmp_path: Path) -> None:
    base, ours, theirs = (tmp_path / name for name in ("base", "ours", "theirs"))
    base.write_text(issue("Raise the mast", 2, "2025-10-11T20:00:00Z"))
    ours.write_text(issue("Raise a mast", 2, "2025-10-12T20:00:00Z"))
    theirs.write_text(issue("Raise both masts", 0, "2025-10-13T20:00:00Z"))
    with pytest.raises(gastown.ConflictError) as caught:
        gastown.merge_beads(base, ours, theirs, strict=True)
    assert caught.value.code == "merge_conflicted"
    merged = gastown.merge_beads(base, ours, theirs)
    assert (merged.issues, merged.choices, merged.flaws) == (1, 1, 0)
    choice = merged.chosen[0]
    assert (choice.id, choice.key, choice.code) == ("gt-1", "title", "field_conflict")
    assert (choice.kept, choice.dropped) == ("Raise both masts", "Raise a mast")
    assert json.loads(ours.read_text())["title"] == "Raise both masts"
    with pytest.raises(gastown.NotFoundError):
        gastown.merge_beads(tmp_path / "nowhere", ours, theirs)
