"""JSON answers as the dataclasses of `_types`, by their annotations."""

from __future__ import annotations

import base64
import dataclasses
import types
import typing
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, TypeVar

from gastown._gastown import InternalError

T = TypeVar("T")
Decoder = Callable[[Any], Any]


def decode(answer: type[T], value: Any) -> T:
    """The typed form of an answer; `InternalError` names what this version does not know."""
    annotation: Any = answer
    result: T = _decoder(annotation)(value)
    return result


@cache
def _decoder(annotation: Any) -> Decoder:
    if annotation is Any or annotation is object:
        return lambda value: value
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        return _record(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return _optional(annotation, arguments)
    if origin is list:
        item = _decoder(arguments[0])
        return _checked(list, lambda value: [item(entry) for entry in value])
    if origin is dict:
        item = _decoder(arguments[1])
        return _checked(dict, lambda value: {key: item(entry) for key, entry in value.items()})
    if origin is Literal:
        return _word(frozenset(arguments))
    if annotation is float:
        return _checked((int, float), float)
    if annotation is bytes:
        return _checked(str, base64.b64decode)
    if annotation in (str, int, bool, type(None)):
        return _checked(annotation, lambda value: value)
    raise TypeError(f"no decoder for {annotation!r}")


def _record(record: type) -> Decoder:
    hints = typing.get_type_hints(record)
    fields = {field.name: _decoder(hints[field.name]) for field in dataclasses.fields(record)}

    def convert(value: Any) -> Any:
        unknown = value.keys() - fields.keys()
        if unknown:
            name = f"{record.__name__}.{min(unknown)}"
            raise _internal("field_unknown", f"{name} is not known to this version", field=name)
        try:
            return record(**{name: fields[name](entry) for name, entry in value.items()})
        except TypeError as missing:
            raise _internal("field_missing", f"an answer lacks a field of {record.__name__}") from missing

    return _checked(dict, convert)


def _optional(annotation: Any, arguments: tuple[Any, ...]) -> Decoder:
    present = [argument for argument in arguments if argument is not type(None)]
    if len(present) != 1:
        raise TypeError(f"no decoder for {annotation!r}")
    inner = _decoder(present[0])
    return lambda value: None if value is None else inner(value)


def _word(words: frozenset[Any]) -> Decoder:
    def convert(value: Any) -> Any:
        if value not in words:
            raise _internal("word_unknown", f"{value!r} is not known to this version", found=str(value))
        return value

    return convert


def _checked(wanted: type | tuple[type, ...], convert: Decoder) -> Decoder:
    def check(value: Any) -> Any:
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise _internal("value_type", f"an answer holds a {type(value).__name__}, not {wanted}")
        return convert(value)

    return check


def _internal(code: str, message: str, **facts: str) -> InternalError:
    error = InternalError(message)
    error.code, error.facts = code, facts
    return error
