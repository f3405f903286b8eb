"""How an operation gets its name and its types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import pytest

import gastown
from gastown import _gastown
from gastown._operations import Group

if TYPE_CHECKING:
    from typing_extensions import NotRequired, Unpack


class NewSample(TypedDict):
    """What the operation takes."""

    title: str
    labels: NotRequired[list[str]]
    metadata: NotRequired[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Sample:
    """What the operation answers."""

    title: str
    labels: list[str] | None = None
    metadata: dict[str, Any] | None = None


class Samples(Group):
    """A group of one operation."""

    __slots__ = ()

    async def create(self, **sample: Unpack[NewSample]) -> Sample:
        return await self._call(Sample, "probe.echo", sample)


async def test_keywords_go_in_and_a_typed_value_comes_out(probe: _gastown.Handle) -> None:
    sample = await Samples(probe).create(title="x", metadata={"aB": 1})
    assert sample == Sample(title="x", metadata={"aB": 1})
    sample.title.upper()
    with pytest.raises(gastown.InternalError):
        await Samples(probe).create(title=7)  # type: ignore[arg-type]
