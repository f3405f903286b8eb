"""A town: every operation under its name, with its types.

An operation is a method of two lines in its group, under the name it has in the core:

    async def create(self, **bead: Unpack[NewBead]) -> Bead:
        return await self._call("beads.create", bead, Bead)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TypeVar

from gastown import _gastown
from gastown._decode import decode
from gastown._types import Event

__all__ = ["Events", "Town"]

T = TypeVar("T")


class Group:
    """The operations on one noun."""

    __slots__ = ("_native",)

    def __init__(self, native: _gastown.Town) -> None:
        self._native = native

    async def _call(self, name: str, fields: Mapping[str, object], answer: type[T]) -> T:
        return decode(answer, await self._native.call(name, dict(fields)))


class Events(Group):
    """The journal."""

    __slots__ = ()

    async def watch(self, since: int | None = None) -> AsyncIterator[Event]:
        """Yields every event after `since`, then each new one as it is journaled."""
        watch = self._native.watch(since)
        while (event := await watch.next()) is not None:
            yield decode(Event, event)


class Town:
    """An open town."""

    __slots__ = ("_native", "events")

    def __init__(self, native: _gastown.Town) -> None:
        self._native = native
        self.events = Events(native)
