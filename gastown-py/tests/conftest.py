"""Shared parts of the tests."""

from __future__ import annotations

import pytest

from gastown import _gastown


@pytest.fixture
def probe() -> _gastown.Town:
    """A handle that echoes, fails or hangs as it is told."""
    return _gastown._probe()
