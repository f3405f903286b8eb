"""What operations take (typed dicts) and answer (frozen dataclasses)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Event"]


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the journal."""

    seq: int
