"""Values the tests of the venue package share: valid by default, override one field."""

import dataclasses
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from pydantic import SecretStr

from shared.domain.ids import AccountId, OrderId, PositionId, RedemptionId, SignalId, TokenId, WindowId
from shared.domain.modes import Mode
from shared.domain.orders import OrderSide, OrderType, Purpose
from shared.domain.prepared import OrderIntent
from shared.domain.windows import FeeSchedule
from shared.venue.credentials import Credentials
from shared.venue.executor import RedemptionRequest

PRIVATE_KEY = SecretStr(
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
)  # Anvil's first, public
OWNER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
WALLET = "0x1111111111111111111111111111111111111111"
TOKEN = TokenId("71321045679252212594626385532706912750332728571942532289631379312455583992563")
OTHER_TOKEN = TokenId("113202849290332312792667727520591051676916457944068891785514830458775370360169")
V2_TOKEN = TokenId("663574927012476832975694178961957910328055987427402067619466963999000625152")
CONDITION = "0xcd5f9f505e0c0182746aa65963f72f01e7463259e5ea9f56672c0fe3a37f348a"
API_KEY = "11111111-2222-4333-8444-555555555555"
NOW = datetime(2026, 10, 5, 23, 1, tzinfo=UTC)
FEE = FeeSchedule(Decimal("0.07"), 1)
CREDENTIALS = Credentials(
    OWNER,
    SecretStr(API_KEY),
    SecretStr("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    SecretStr("the-passphrase"),
)
INTENT = OrderIntent(
    account_id=AccountId("default"),
    mode=Mode.LIVE,
    purpose=Purpose.ENTRY,
    signal_id=SignalId("sig-1"),
    position_id=PositionId("pos-1"),
    window_id=WindowId("btc-updown-15m-1791241200"),
    token_id=TOKEN,
    side=OrderSide.BUY,
    order_type=OrderType.FAK,
    limit_price=Decimal("0.55"),
    amount=Decimal("1.20"),
    tick=Decimal("0.01"),
    neg_risk=False,
    version="v1",
    salt=479249096354,
    timestamp_ms=1791241800123,
)
REDEMPTION = RedemptionRequest(
    redemption_id=RedemptionId("red-1"),
    window_id=WindowId("btc-updown-15m-1791241200"),
    condition_id=CONDITION,
    up_token=TOKEN,
    down_token=OTHER_TOKEN,
    version="v1",
    neg_risk=False,
    up_shares=Decimal("2.18"),
    down_shares=Decimal(0),
)


def intent(**changes: object) -> OrderIntent:
    return dataclasses.replace(INTENT, **changes)


def order_id_of(digit: str) -> OrderId:
    return OrderId("0x" + digit * 64)


class SetClock:
    """A clock that stands where it is put."""

    def __init__(self, now: datetime = NOW) -> None:
        self.at = now
        self.seconds = 1000.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.seconds

    def boottime(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        self.at += timedelta(seconds=seconds)
