"""Following the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import Any

from gastown import _gastown
from gastown._decode import decode
from gastown._types import Event

Answer = Awaitable[dict[str, Any] | None]


class Watch:
    """An asynchronous iterator over events; a wait that is cancelled loses none of them.

    One task at a time waits for the next event. `close` ends the iteration, and so does closing the town.
    """

    __slots__ = ("_native", "_next", "_waiting")

    def __init__(self, native: _gastown.Watch) -> None:
        self._native = native
        self._next: Answer | None = None
        self._waiting = False

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Event:
        if self._waiting:
            raise RuntimeError("another task waits for the next event of this watch")
        # What the wait was for stays when the wait is cancelled; the next one takes it.
        self._next = self._next or self._native.next()
        self._waiting = True
        try:
            event = await asyncio.shield(self._next)
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._next = None
            raise
        finally:
            self._waiting = False
        self._next = None
        if event is None:
            raise StopAsyncIteration
        return decode(Event, event)

    def close(self) -> None:
        """Ends the watch; who waits for the next event gets none."""
        self._native.close()

    async def __aenter__(self) -> Watch:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
