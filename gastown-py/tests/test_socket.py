"""The socket by which other processes call a town."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gastown


async def test_a_socket_is_one_processs_at_a_time(town: gastown.Town) -> None:
    await town.serve()
    await town.serve()
    assert (Path(town.dir) / "gastown.sock").is_socket()
    async with gastown.open(town.dir) as other:
        with pytest.raises(gastown.ConflictError) as refused:
            await other.serve()
        assert refused.value.code == "socket_taken"
        await town.stop()
        await other.serve()


async def test_who_calls_without_a_good_token_is_refused(town: gastown.Town, tmp_path: Path) -> None:
    await town.serve()
    file = tmp_path / "token"
    file.write_text("nonsense")
    script = Path(sys.executable).parent / "gastown"
    args: list[str | os.PathLike[str]] = [script, "--town", town.dir, "--token-file", file, "status"]
    ended = subprocess.run(args, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 5, ended.stderr
    assert "(token_malformed)" in ended.stderr
