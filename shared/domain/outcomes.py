"""The three answers to any act on the outside world: it happened, it did not, we cannot tell (P4)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Success(Generic[T_co]):
    """It happened, and this is what the world said of it."""

    value: T_co


@dataclass(frozen=True, slots=True)
class KnownFailure:
    """It certainly did not happen. Deciding again is safe."""

    reason: str
    detail: Mapping[str, str] = field(default_factory=dict)
    trips: bool = False
    """The refusal concerns the account, not the order (401, 403, banned, signature …): the breaker opens (E5)."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have happened. Never retried; the reconciler finds out."""

    reason: str
    detail: Mapping[str, str] = field(default_factory=dict)


Outcome: TypeAlias = Success[T_co] | KnownFailure | Unknown
