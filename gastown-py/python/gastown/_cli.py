"""The console script: becomes the program `gastown` that this package carries."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

PROGRAM = Path(__file__).parent / "bin" / "gastown"


def main() -> NoReturn:
    """Replaces this process by the program, with the same arguments."""
    if not PROGRAM.is_file():
        sys.exit(f"gastown: this installation lacks the program {PROGRAM}")
    os.execv(PROGRAM, [str(PROGRAM), *sys.argv[1:]])
