"""The console script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_console_script_becomes_the_program() -> None:
    script = Path(sys.executable).parent / "gastown"
    ended = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
