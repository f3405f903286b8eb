"""The conformance kit of storage: what every backend must do, as cases that run against any.

    import pytest
    from gastown import testkit

    @pytest.mark.parametrize("case", testkit.store_conformance_cases())
    def test_the_backend(case: str, tmp_path: Path) -> None:
        testkit.run_store_conformance_case(case, lambda: MyBackend(tmp_path / "town.db"))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gastown import _gastown
from gastown.backend import Backend

__all__ = ["run_store_conformance_case", "store_conformance_cases", "take_part"]


def store_conformance_cases() -> list[str]:
    """The names of all cases."""
    return _gastown.conformance_cases()


def run_store_conformance_case(
    name: str,
    make: Callable[[], Backend],
    *,
    address: str | None = None,
    command: Sequence[str] | None = None,
) -> None:
    """Runs one case; raises `AssertionError` where the backend does not do what the case is named for.

    - `make` gives an instance of the backend, each time it is called one on the same database, which is empty at first.
    - `address` and `command` let cases that need another process have one: `command` starts a program that calls
      `take_part`. Without them a thread does the other's part.

    What a thread of the case said besides is on the standard error.
    """
    _gastown.conformance_run(name, make, address, None if command is None else list(command))


def take_part(open: Callable[[str], Backend]) -> bool:
    """Does what a case of another process wants done; false, and nothing, where this one was not started for that.

    `open` gives an instance on the database with the address that the case has.
    """
    return _gastown.conformance_part(open)
