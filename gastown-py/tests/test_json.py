"""Python values across the boundary."""

from __future__ import annotations

from typing import Any

import pytest

import gastown
from gastown import _gastown


@pytest.mark.parametrize(
    "value",
    [None, True, False, 0, -(2**63), 2**63 - 1, 0.5, "", "Überraschung 🚚", [], [1, "a", None], {}, {"a": {"b": [1.5]}}],
)
async def test_json_comes_back_as_it_went(probe: _gastown.Handle, value: Any) -> None:
    answer = (await probe.call("probe.echo", {"value": value}))["value"]
    assert answer == value
    assert type(answer) is type(value)


async def test_a_tuple_is_a_list(probe: _gastown.Handle) -> None:
    assert await probe.call("probe.echo", {"value": (1, 2)}) == {"value": [1, 2]}


class Opaque:
    """Not JSON."""


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (2**63, "value_range"),
        (-(2**63) - 1, "value_range"),
        (float("nan"), "value_range"),
        (float("inf"), "value_range"),
        (b"bytes", "value_type"),
        ({1, 2}, "value_type"),
        (Opaque(), "value_type"),
        ({1: "a"}, "value_key"),
        ({"\ud800": 1}, "value_key"),
        ("\ud800", "value_text"),
    ],
)
def test_what_is_not_json_is_refused_before_the_call(probe: _gastown.Handle, value: Any, code: str) -> None:
    with pytest.raises(gastown.InvalidError) as caught:
        probe.call("probe.echo", {"metadata": [value]})
    assert caught.value.code == code
    assert caught.value.facts == {"path": "metadata.0"}


def test_a_list_that_holds_itself_is_refused(probe: _gastown.Handle) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(gastown.InvalidError) as caught:
        probe.call("probe.echo", {"metadata": endless})
    assert caught.value.code == "value_depth"
