"""Runs a town of AI coding agents over git repositories."""

from gastown._gastown import (
    ConflictError,
    CorruptError,
    ExhaustedError,
    ForbiddenError,
    GastownError,
    InternalError,
    InvalidError,
    NotFoundError,
    UnavailableError,
    UnsupportedError,
    __version__,
)
from gastown._town import Events, Town
from gastown._types import Event

__all__ = [
    "ConflictError",
    "CorruptError",
    "Event",
    "Events",
    "ExhaustedError",
    "ForbiddenError",
    "GastownError",
    "InternalError",
    "InvalidError",
    "NotFoundError",
    "Town",
    "UnavailableError",
    "UnsupportedError",
    "__version__",
]
