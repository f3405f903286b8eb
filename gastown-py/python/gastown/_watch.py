"""Following the journal, and what sessions print."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import Any, ClassVar, Generic, TypeVar

from gastown import _gastown
from gastown._decode import decode
from gastown._types import Event, OutputPage

Answer = Awaitable[dict[str, Any] | None]
T = TypeVar("T")
Self = TypeVar("Self", bound="Following[Any]")


class Following(Generic[T]):
    """An asynchronous iterator; a wait that is cancelled loses nothing.

    One task at a time waits for the next item. `close` ends the iteration, and so does closing the town.
    """

    __slots__ = ("_native", "_next", "_waiting")

    _item: ClassVar[type[Any]]
    _noun: ClassVar[str]

    def __init__(self, native: _gastown.Watch) -> None:
        self._native = native
        self._next: Answer | None = None
        self._waiting = False

    def __aiter__(self: Self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._waiting:
            raise RuntimeError(f"another task waits for the next {self._noun}")
        # What the wait was for stays when the wait is cancelled; the next one takes it.
        self._next = self._next or self._native.next()
        self._waiting = True
        try:
            item = await asyncio.shield(self._next)
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._next = None
            raise
        finally:
            self._waiting = False
        self._next = None
        if item is None:
            raise StopAsyncIteration
        answer: T = decode(self._item, item)
        return answer

    def close(self) -> None:
        """Ends the iteration; who waits for the next item gets none."""
        self._native.close()

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Watch(Following[Event]):
    """The journal being followed: every event, in order."""

    __slots__ = ()

    _item = Event
    _noun = "event of this watch"


class Follow(Following[OutputPage]):
    """A session's output being followed: every page, until the session has ended and all of it was given."""

    __slots__ = ()

    _item = OutputPage
    _noun = "page of this output"
