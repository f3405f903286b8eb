"""Answers as typed values."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass
from typing import Any, Literal

import pytest

import gastown
from gastown._decode import decode


@dataclass(frozen=True, slots=True)
class Part:
    """A nested record."""

    n: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Every kind of field."""

    id: str
    status: Literal["open", "closed"]
    parts: list[Part]
    note: str | None = None
    ratio: float = 0.0
    metadata: dict[str, Any] | None = None


WHOLE: dict[str, Any] = {"id": "gt-1", "status": "open", "parts": [{"n": 1}, {"n": 2}]}


def test_an_answer_has_attributes_and_cannot_be_changed() -> None:
    sample = decode(Sample, WHOLE | {"metadata": {"camelCase": [1]}, "ratio": 1})
    assert sample == Sample("gt-1", "open", [Part(1), Part(2)], None, 1.0, {"camelCase": [1]})
    with pytest.raises(FrozenInstanceError):
        sample.id = "gt-2"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (WHOLE | {"status": "painted"}, "word_unknown"),
        (WHOLE | {"colour": "red"}, "field_unknown"),
        ({"id": "gt-1"}, "field_missing"),
        (WHOLE | {"id": 7}, "value_type"),
        (WHOLE | {"parts": [{"n": True}]}, "value_type"),
        ([], "value_type"),
    ],
)
def test_an_answer_this_version_does_not_know_is_a_named_error(value: Any, code: str) -> None:
    with pytest.raises(gastown.InternalError) as caught:
        decode(Sample, value)
    assert caught.value.code == code
