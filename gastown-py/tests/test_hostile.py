"""Input that is out to do harm: the table and the file that Rust and Node are tried with as well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import gastown

TABLE = Path(__file__).parents[2] / "tests" / "hostile.json"


def unfold(value: Any) -> Any:
    """Texts of the table that are too long to be written out."""
    if isinstance(value, dict) and "repeat" in value:
        many = value.get("between", "").join([value["repeat"]] * value["times"])
        return value.get("before", "") + many + value.get("after", "")
    if isinstance(value, dict):
        return {key: unfold(item) for key, item in value.items()}
    return [unfold(item) for item in value] if isinstance(value, list) else value


async def test_every_hostile_call_is_answered_or_refused_with_its_code(town: gastown.Town, origin: Path) -> None:
    await town.rigs.add("harbour", str(origin))
    await town.beads.create("Lay the keel")
    head = (await town.upkeep.health()).head
    wrong = []
    for operation, given, code in json.loads(TABLE.read_text()):
        found = None
        try:
            await town.call(operation, unfold(given))
        except gastown.GastownError as error:
            found = error.code
            assert error.kind in ("invalid", "not_found", "exhausted") and len(str(error)) < 2_000
        if found != code:
            wrong.append((operation, given, found, code))
    assert wrong == []
    assert (await town.upkeep.health()).head == head, "none of them changed anything"


def broken_file(path: Path, long_line_bytes: int) -> None:
    """A file with everything that is wrong with files."""
    times = '"created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"'
    edges = [("gt-1", "blocks"), ("gt-gone", "blocks"), ("gt-2", "parent-child"), ("gt-2", "nonsense")]
    nested = ",".join(f'{{"issue_id":"gt-1","depends_on_id":"{on}","type":"{kind}"}}' for on, kind in edges)
    lines = [
        f'{{"id":"gt-1","title":"good",{times},"dependencies":[{nested}]}}'.encode(),
        f'{{"id":"gt-2","title":"twice",{times}}}'.encode(),
        b'{"id":"gt-2","title":"later","created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-02T00:00:00Z"}',
        b'{"id":"gt-3","title":"\xff\xfe"}',
        f'{{"id":"gt-4","title":"odd","priority":99,"status":"nonsense","issue_type":"nonsense",{times}}}'.encode(),
        f'{{"id":"gt-5","title":"far","estimated_minutes":1e300,"due_at":"99999-01-01T00:00:00Z",{times}}}'.encode(),
        b"[" * 100_000 + b"]" * 100_000,
        f'{{"id":"gt-6","title":"long",{times},"description":"'.encode() + b"x" * long_line_bytes + b'"}',
        b'{"id":"gt-7","ti',
    ]
    path.write_bytes(b"\n".join(lines))


async def test_a_broken_file_comes_in_as_far_as_it_is_good(town: gastown.Town, tmp_path: Path) -> None:
    file = tmp_path / "issues.jsonl"
    broken_file(file, 50 << 20)
    report = await town.beads.import_from(str(file))
    flawed = [(flaw.line, flaw.code) for flaw in report.flawed_lines]
    assert flawed == [(4, "invalid_utf8"), (7, "not_an_object"), (8, "text_too_long"), (9, "line_cut")]
    assert (report.created, report.updated, report.dangling) == (4, 1, 1)
    told = ("self_edge", "duplicate_id", "number_out_of_range", "priority_out_of_range", "status_unknown")
    assert [report.repairs.get(code) for code in told] == [1] * 5
    assert [bead.title for bead in (await town.beads.list()).beads] == ["good", "later", "odd", "far"]
    with pytest.raises(gastown.InvalidError) as caught:
        await town.beads.import_from(str(file), strict=True)
    assert (caught.value.code, caught.value.facts["line"]) == ("import_flawed", "4")
    again = await town.beads.import_from(str(file))
    assert (again.created, again.updated, again.flaws) == (0, 0, report.flaws)
    assert (await town.upkeep.check()).findings == []
