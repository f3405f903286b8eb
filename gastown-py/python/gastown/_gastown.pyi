"""Types of the native half; what a host imports is in `gastown`."""

from collections.abc import Awaitable
from typing import Any, final

__all__ = [
    "ConflictError",
    "CorruptError",
    "ExhaustedError",
    "ForbiddenError",
    "GastownError",
    "InternalError",
    "InvalidError",
    "NotFoundError",
    "Town",
    "UnavailableError",
    "UnsupportedError",
    "Watch",
    "__version__",
    "_probe",
]

__version__: str

class GastownError(Exception):
    kind: str
    code: str
    facts: dict[str, str]
    chain: str

class NotFoundError(GastownError): ...
class InvalidError(GastownError): ...
class ConflictError(GastownError): ...
class ForbiddenError(GastownError): ...
class UnavailableError(GastownError): ...
class ExhaustedError(GastownError): ...
class CorruptError(GastownError): ...
class UnsupportedError(GastownError): ...
class InternalError(GastownError): ...

@final
class Town:
    def call(self, name: str, input: dict[str, Any]) -> Awaitable[Any]: ...
    def watch(self, since: int | None = None) -> Watch: ...

@final
class Watch:
    def next(self) -> Awaitable[dict[str, Any] | None]: ...

def _probe() -> Town: ...
