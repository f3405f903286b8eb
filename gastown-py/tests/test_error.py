"""Errors of the core as exceptions."""

from __future__ import annotations

import pickle

import pytest

import gastown
from gastown import _gastown

KINDS = {
    "not_found": gastown.NotFoundError,
    "invalid": gastown.InvalidError,
    "conflict": gastown.ConflictError,
    "forbidden": gastown.ForbiddenError,
    "unavailable": gastown.UnavailableError,
    "exhausted": gastown.ExhaustedError,
    "corrupt": gastown.CorruptError,
    "unsupported": gastown.UnsupportedError,
    "internal": gastown.InternalError,
}


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_has_an_exception_class_with_code_and_facts(probe: _gastown.Handle, kind: str) -> None:
    with pytest.raises(gastown.GastownError) as caught:
        await probe.call("probe.fail", {"kind": kind})
    error = caught.value
    assert type(error) is KINDS[kind]
    assert (error.kind, error.code, error.facts) == (kind, "probe_failed", {"bead": "gt-a3f9k"})
    assert str(error) == "the probe was told to fail"
    assert error.chain == "the probe was told to fail: the cause"


def test_no_class_is_without_a_kind() -> None:
    assert set(gastown.GastownError.__subclasses__()) == set(KINDS.values())
    for kind, error in KINDS.items():
        assert error.kind == kind
        assert error.__module__ == "gastown"


async def test_an_error_survives_pickling(probe: _gastown.Handle) -> None:
    with pytest.raises(gastown.ConflictError) as caught:
        await probe.call("probe.fail", {"kind": "conflict"})
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is gastown.ConflictError
    assert (copy.code, copy.facts, str(copy)) == (caught.value.code, caught.value.facts, str(caught.value))


async def test_an_unknown_operation_is_not_found(probe: _gastown.Handle) -> None:
    with pytest.raises(gastown.NotFoundError, match="there is no operation beads.paint"):
        await probe.call("beads.paint", {})
