"""What the venue package raises.

VenueProblem
├── ReadFailed          a read did not succeed, after the retries it may have; never an empty answer (R3)
├── LoginFailed         the venue gave no API credentials for a key
└── Refusal             an answer or an order we refuse to believe or to make
    ├── Malformed       not the shape or the number the venue documents
    ├── UnknownVersion  a protocol version, or an asset id that contradicts it
    ├── UnknownFeeType  a fee we cannot compute, so cannot reserve
    ├── UnknownRule     a resolution source whose settlement rule we do not know
    ├── UnknownStatus   a state of an order, trade or transaction that is not on our list
    ├── UnknownWord     a kind of frame, a provider or an instrument we did not ask for
    └── Rejected        the other side refuses what we asked of it
"""

from collections.abc import Mapping


class VenueProblem(Exception):
    """Root of all that this package raises."""


class ReadFailed(VenueProblem):
    """A read failed: the caller knows nothing new."""

    def __init__(
        self, what: str, reason: str, *, status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(f"{what}: {reason}")
        self.what = what
        self.reason = reason
        self.status = status
        self.retry_after_s = retry_after_s
        """What the venue asked for, seconds; None when it asked for nothing."""


class LoginFailed(VenueProblem):
    """The venue neither made nor returned API credentials."""


class Refusal(VenueProblem):
    """Something unknown or impossible, named so that it can be counted and shown."""

    def __init__(self, message: str, **detail: str) -> None:
        super().__init__(message)
        self.detail: Mapping[str, str] = detail

    @property
    def kind(self) -> str:
        """Return the name under which refusals of this sort are counted."""
        return type(self).__name__


class Malformed(Refusal):
    """Not the shape or the number the venue documents."""


class UnknownVersion(Refusal):
    """A protocol version we do not speak, or an asset id that contradicts the market's version."""


class UnknownFeeType(Refusal):
    """A fee we cannot compute."""


class UnknownRule(Refusal):
    """A resolution source whose settlement rule we do not know."""


class UnknownStatus(Refusal):
    """A state that is not on our list."""


class UnknownWord(Refusal):
    """A kind of frame, a provider or an instrument we did not ask for."""


class Rejected(Refusal):
    """The other side refuses what we asked of it: a subscription, a login, an operation."""
