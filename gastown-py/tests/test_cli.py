"""The console script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_console_script_becomes_the_program() -> None:
    script = Path(sys.executable).parent / "gastown"
    ended = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr


def test_the_program_is_a_merge_driver_of_git(tmp_path: Path) -> None:
    script = Path(sys.executable).parent / "gastown"

    def git(*args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        name = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        return subprocess.run(
            ["git", *name, *args], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=check
        )

    def commit(title: str, priority: int) -> None:
        line = f'{{"id":"gt-1","title":"{title}","status":"open","priority":{priority},"issue_type":"task"}}\n'
        (tmp_path / "issues.jsonl").write_text(line)
        git("add", ".")
        git("commit", "-m", title)

    git("init", "-b", "main")
    git("config", "merge.beads.driver", f"'{script}' merge-beads %O %A %B")
    (tmp_path / ".gitattributes").write_text("*.jsonl merge=beads\n")
    commit("Raise the mast", 2)
    git("checkout", "-b", "side")
    commit("Raise both masts", 2)
    git("checkout", "main")
    commit("Raise the mast", 0)
    git("merge", "side")
    merged = (tmp_path / "issues.jsonl").read_text()
    assert merged == '{"id":"gt-1","title":"Raise both masts","status":"open","priority":0,"issue_type":"task"}\n'

    broken = tmp_path / "broken"
    broken.write_text("no line\n")
    empty = tmp_path / "empty"
    empty.touch()
    for args, code in (
        ([empty, broken, empty], 1),
        (["--strict", empty, broken, empty], 1),
        ([empty, empty, tmp_path / "nowhere"], 129),
    ):
        ended = subprocess.run([script, "merge-beads", *args], capture_output=True, text=True, timeout=60, check=False)
        assert (ended.returncode, bool(ended.stderr)) == (code, True), ended.stderr
