"""PURE: the venue's hash of a whole book, to find that a kept one is not the venue's (C6).

``hash`` of a ``book`` and of each change is the SHA-1 of the whole book's compact JSON (the venue's older client,
utilities). Frames recorded in April 2026 prove what its pages do not say: all changes of one moment carry the hash of
the book after the last of them, and ``last_trade_price``, which no change repeats, is that of either token. So it is
found by trying: it is the last of the fields, and prices are few.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain, product

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_PADDED = tuple(f"0.{thousandths:03d}" for thousandths in range(1, 1000))
_SHORT = tuple(price.rstrip("0") for price in _PADDED if price.endswith("0"))
_LAST_TRADES = ("", *_PADDED, *_SHORT)
"""As the stream writes a price (0.450) and as REST does (0.45); empty before the first trade."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What a book's hash covers and the frames of its changes leave out."""

    min_size: str
    tick: str
    neg_risk: bool
    version: str
    last_trade: str = ""

    def tail(self) -> bytes:
        """Return the JSON of a book from there on."""
        version = f',"version":"{self.version}"' if self.version else ""
        return (
            f',"min_order_size":"{self.min_size}","tick_size":"{self.tick}","neg_risk":{str(self.neg_risk).lower()},'
            f'"last_trade_price":"{self.last_trade}"{version}}}'
        ).encode()

    def traded(self) -> Iterator["Seal"]:
        """Yield the seal after a trade at any price."""
        return (replace(self, last_trade=price) for price in _LAST_TRADES)

    def found(self, digest: str, head: bytes) -> "Seal | None":
        """Return the seal, as it was or after another trade, that makes ``digest`` the book's; None: another book's."""
        return _first(digest, head, chain((self,), self.traded()))


def seal_of(digest: str, head: bytes, tick: Decimal) -> Seal | None:
    """Return how a whole book is sealed by its own hash; None where we do not know how the venue did it."""
    kinds = product(("", "v2"), (False, True), ("5", "1"))
    trials = (
        Seal(min_size, f"{tick:f}", neg_risk, version).traded() for version, neg_risk, min_size in kinds
    )
    return _first(digest, head, chain.from_iterable(trials))


def head_of(
    condition_id: str,
    token_id: str,
    at: datetime,
    bids: Mapping[Decimal, Decimal],
    asks: Mapping[Decimal, Decimal],
) -> bytes:
    """Return a book's JSON up to the first field that its changes leave out."""
    return (
        f'{{"market":"{condition_id}","asset_id":"{token_id}","timestamp":"{(at - _EPOCH) // _MILLISECOND}","hash":"",'
        f'"bids":[{_levels(sorted(bids.items()))}],"asks":[{_levels(sorted(asks.items(), reverse=True))}]'
    ).encode()


def _levels(side: Iterable[tuple[Decimal, Decimal]]) -> str:
    return ",".join(f'{{"price":"{price:f}","size":"{size:f}"}}' for price, size in side)


def _first(digest: str, head: bytes, trials: Iterable[Seal]) -> Seal | None:
    begun = hashlib.sha1(head, usedforsecurity=False)
    for trial in trials:
        whole = begun.copy()
        whole.update(trial.tail())
        if whole.hexdigest() == digest:
            return trial
    return None
