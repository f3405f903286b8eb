"""The package has what the core has: every operation, every field."""

from __future__ import annotations

import inspect
import re
import typing
from typing import Any

import pytest

import gastown
from gastown import _gastown, _types

OPERATIONS = _gastown.operations()
NAMES = [operation["name"] for operation in OPERATIONS]


def method_of(handle: gastown.Handle, name: str) -> Any:
    group, method = name.split(".")
    return getattr(getattr(handle, group), method)


async def fields_of(handle: gastown.Handle, name: str, input: dict[str, Any]) -> set[str]:
    """The fields that the core takes, by what it says to one that it does not."""
    with pytest.raises(gastown.InvalidError) as caught:
        await handle.call(name, input)
    assert caught.value.code == "input_malformed"
    message = str(caught.value)
    assert "unknown field `no_such_field`" in message
    return set(re.findall(r"`(\w+)`", message)) - {"no_such_field"}


async def test_every_operation_is_a_method_and_every_method_an_operation(town: gastown.Town) -> None:
    for handle in (town, town.rig("harbour")):
        methods = {
            f"{group}.{name}"
            for group in ("agents", "beads", "capabilities", "convoys", "effects", "events", "reservations", "reviews", "rigs", "sessions", "triage", "upkeep")
            for name, _ in inspect.getmembers(getattr(handle, group), inspect.ismethod)
            if not name.startswith("_")
        }
        assert methods - {"events.watch", "sessions.follow"} == set(NAMES)


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
async def test_an_operation_takes_and_answers_what_the_core_does(town: gastown.Town, operation: dict[str, Any]) -> None:
    method = method_of(town, operation["name"])
    signature = inspect.signature(method)
    namespace = {"t": _types, **vars(_types)}
    assert signature.return_annotation == f"t.{operation['output']}"
    taken = set()
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            wanted = eval(parameter.annotation.removeprefix("Unpack[").removesuffix("]"), namespace)
            taken |= set(wanted.__annotations__)
        else:
            taken.add(parameter.name)
    changes = operation["kind"] == "change" or operation["name"] in ("rigs.add", "upkeep.recall")
    assert ("key" in taken) == changes
    assert taken - {"key"} == await fields_of(town, operation["name"], {"no_such_field": 1})
    assert operation["meaning"].strip().rstrip(".").split(";")[0].split(",")[0] in inspect.getdoc(method)  # type: ignore[operator]


async def test_a_task_of_a_convoy_takes_what_the_core_does(town: gastown.Town) -> None:
    convoy = {"title": "x", "rig": "r", "tasks": [{"no_such_field": 1}]}
    assert typing.get_type_hints(_types.Task).keys() == await fields_of(town, "convoys.sling", convoy)


@pytest.mark.parametrize(
    ("name", "field", "words"),
    [
        ("agents.register", "role", _types.Role),
        ("beads.close", "resolution", _types.Resolution),
        ("beads.ready", "sort", _types.ReadySort),
        ("beads.list", "sort", _types.ListSort),
        ("beads.list", "kind", _types.BeadKind),
        ("beads.list", "status", _types.BeadStatus),
        ("convoys.sling", "on_failure", _types.FailurePolicy),
        ("effects.list", "state", _types.EffectState),
        ("reviews.list", "state", _types.ReviewState),
        ("sessions.list", "state", _types.SessionState),
        ("sessions.output", "stream", _types.OutputStream),
    ],
)
async def test_a_closed_set_of_words_is_the_cores(town: gastown.Town, name: str, field: str, words: Any) -> None:
    whole = {"name": "x", "id": "x-1", "bead": "x-1", "on_bead": "x-2", "title": "x", "rig": "x", "tasks": [], "session": "s-1"}
    taken = await fields_of(town, name, {"no_such_field": 1})
    legal = {key: value for key, value in whole.items() if key in taken and name.endswith(("register", "close", "link", "sling", "output"))}
    accepted = set()
    known = {word for alias in vars(_types).values() if typing.get_origin(alias) is typing.Literal for word in typing.get_args(alias)}
    for word in known:
        try:
            await town.call(name, {**legal, field: word})
        except gastown.GastownError as error:
            if error.code in ("input_malformed", "word_unknown"):
                continue
        accepted.add(word)
    assert accepted == set(typing.get_args(words))


def test_every_type_is_exported() -> None:
    made = {name for name, value in vars(_types).items() if not name.startswith("_") and getattr(value, "__module__", "") == _types.__name__}
    assert made <= set(gastown.__all__)
    assert all(hasattr(gastown, name) for name in gastown.__all__)
    outputs = {operation["output"] for operation in OPERATIONS}
    assert outputs <= set(gastown.__all__)
