"""Shared parts of the tests."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

import gastown
from gastown import _gastown


@pytest.fixture
def probe() -> _gastown.Handle:
    """A handle that echoes, fails or hangs as it is told."""
    return _gastown._probe()


@pytest_asyncio.fixture
async def town(tmp_path: Path) -> AsyncIterator[gastown.Town]:
    """An open town without rigs."""
    async with gastown.open(tmp_path / "town") as town:
        yield town


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A private Postgres, there while the tests run."""
    program = Path(__file__).parents[2] / "tools" / "test-postgres"
    with subprocess.Popen([program, "hold"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as held:
        assert held.stdin is not None and held.stdout is not None
        url = held.stdout.readline().strip()
        assert url, "there is no Postgres for the tests; see above"
        yield url
        held.stdin.close()


@pytest.fixture
def postgres(server: str) -> str:
    """A schema of that server which no other test has."""
    return f"{server}&schema=p{uuid.uuid4().hex}"


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A bare repository with one commit on `main`."""
    seed, bare = tmp_path / "seed", tmp_path / "origin.git"
    git(tmp_path, "init", "-q", "seed")
    (seed / "README.md").write_text("# Harbour\n")
    git(seed, "add", ".")
    git(seed, "commit", "-q", "-m", "Begin")
    git(tmp_path, "clone", "-q", "--bare", "seed", "origin.git")
    return bare


def git(folder: Path, *arguments: str) -> str:
    """Runs git as somebody."""
    who = ["-c", "user.name=Tess", "-c", "user.email=tess@example.org", "-c", "init.defaultBranch=main"]
    ran = subprocess.run(["git", "-C", folder, *who, *arguments], check=True, capture_output=True, text=True)
    return ran.stdout.strip()
