"""Payloads as the venue sends them: the fields we use, unknown ones ignored, numbers as Decimal.

JSON is parsed with decimals, so no amount ever passes through a binary float. Empty strings stand for "none" in many of
the venue's fields. Field names are the venue's own.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, Json


def _exact(value: object) -> object:
    if isinstance(value, bool | float):
        raise ValueError("an amount is text, an integer or a decimal")  # noqa: TRY004 - pydantic takes ValueError
    return value


def _none_if_empty(value: object) -> object:
    return None if value == "" else _exact(value)


def _whole(value: object) -> object:
    """Refuse what is no count, before anybody unfolds 1e999999999 or 1e-999999999 into its digits."""
    if isinstance(value, bool) or (isinstance(value, Decimal) and not _is_short(value)):
        raise ValueError("a whole number is text or an integer of at most 18 digits")
    return value


def _is_short(value: Decimal) -> bool:
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -_WHOLE_DIGITS and value.adjusted() < _WHOLE_DIGITS


_WHOLE_DIGITS = 18
_WHOLE_MAX = 10**_WHOLE_DIGITS
_MILLIS_MAX = 10**14
"""The year 5138."""
_Sane = Annotated[Decimal, Field(gt=Decimal("-1e15"), lt=Decimal("1e15"), decimal_places=30)]
"""No amount of ours or price of anything comes near; arithmetic on such numbers would overflow, or vanish."""
Amount = Annotated[_Sane, BeforeValidator(_exact)]
MaybeAmount = Annotated[_Sane | None, BeforeValidator(_none_if_empty)]
Whole = Annotated[int, Field(gt=-_WHOLE_MAX, lt=_WHOLE_MAX), BeforeValidator(_whole)]
Millis = Annotated[int, Field(ge=0, lt=_MILLIS_MAX), BeforeValidator(_whole)]
"""Milliseconds since the epoch, as text or number."""


class Wire(BaseModel):
    """Base: frozen, unknown fields ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class WireLevel(Wire):
    """A price and the shares there."""

    price: Amount
    size: Amount


class WireBook(Wire):
    """A full book: REST ``/book`` and the market channel's ``book``; the best level is the last of each side."""

    market: str
    asset_id: str
    timestamp: Millis
    bids: tuple[WireLevel, ...]
    asks: tuple[WireLevel, ...]
    tick_size: MaybeAmount = None
    hash: object = None


class WireOrder(Wire):
    """An order by REST."""

    id: str
    status: str
    market: str
    asset_id: str
    side: Literal["BUY", "SELL"]
    price: Amount
    original_size: Amount
    size_matched: MaybeAmount = None
    associate_trades: tuple[str, ...] | None = None
    created_at: Whole | AwareDatetime | Literal[""] | None = None
    order_type: str | None = None


class WireMakerOrder(Wire):
    """A maker's part of a trade."""

    order_id: str
    owner: str | None = None
    asset_id: str
    matched_amount: Amount
    price: Amount
    side: Literal["BUY", "SELL"] | None = None


class WireTrade(Wire):
    """A trade by REST or by the user channel; top-level fields are the taker's."""

    id: str
    taker_order_id: str
    market: str
    asset_id: str
    side: Literal["BUY", "SELL"]
    size: Amount
    price: Amount
    status: str
    match_time: str | Whole | None = None
    matchtime: str | Whole | None = None
    trader_side: Literal["TAKER", "MAKER"] | None = None
    owner: str | None = None
    maker_orders: tuple[WireMakerOrder, ...] = ()
    transaction_hash: str | None = None
    timestamp: Millis | None = None


class WirePage(Wire):
    """A page of the CLOB's private lists; the last cursor is ``LTE=``."""

    next_cursor: str
    data: tuple[Any, ...]


class WireBalance(Wire):
    """Base units as text."""

    balance: Annotated[int, Field(ge=0, lt=2**256), BeforeValidator(_whole)]


class WireFee(Wire):
    """The compact fee of ``/clob-markets``."""

    rate: Amount = Field(alias="r")
    exponent: Amount = Field(alias="e")
    taker_only: bool = Field(alias="to")


class WireClobToken(Wire):
    """A token and its outcome."""

    token: str = Field(alias="t")
    outcome: str = Field(alias="o")


class WireClobMarket(Wire):
    """The compact market of ``/clob-markets/{condition}``."""

    condition: str = Field(alias="c")
    tokens: tuple[WireClobToken, ...] = Field(alias="t")
    min_size: Amount = Field(alias="mos")
    tick: Amount = Field(alias="mts")
    accepting: bool = Field(alias="ao", default=False)
    neg_risk: bool = Field(alias="nr", default=False)
    taker_delay: bool = Field(alias="itode", default=False)
    fee: WireFee | None = Field(alias="fd", default=None)
    version: str | None = Field(alias="v", default=None)


class WireLongToken(Wire):
    """A token and whether it won."""

    token_id: str
    outcome: str
    winner: bool = False


class WireLongMarket(Wire):
    """``/markets/{condition}``: used for its winner flags."""

    condition_id: str
    closed: bool
    is_50_50_outcome: bool = False
    tokens: tuple[WireLongToken, ...]


class WireResolution(Wire):
    """Data API v2 ``/v2/resolutions``; payouts in micro-USDC a share, in outcome order."""

    condition_id: str
    status: str
    payouts: tuple[Whole, ...] | None = None
    resolved_at: AwareDatetime | None = None


class WirePosition(Wire):
    """Data API v2 ``/v2/positions``."""

    condition_id: str
    token_id: str
    current_size: Amount
    status: str
    redeemable: bool = False


class WireActivity(Wire):
    """Data API v2 ``/v2/activity``; the time is in seconds."""

    type: str
    timestamp: Whole
    usdc_size: MaybeAmount = None
    size: MaybeAmount = None
    condition_id: str | None = None
    transaction_hash: str | None = None


class WirePagination(Wire):
    """Where the next page begins."""

    has_more: bool = False
    next_cursor: str | None = None


class WireDataPage(Wire):
    """A page of the Data API v2."""

    data: tuple[Any, ...]
    pagination: WirePagination = WirePagination()


class WireFeeSchedule(Wire):
    """Gamma's fee of a market."""

    rate: Amount
    exponent: Amount
    takerOnly: bool = True  # noqa: N815 - the venue's own name


class WireCryptoConfig(Wire):
    """What the market is about, and whether an average decides it."""

    asset: str | None = None
    duration: str | None = None
    twap_enabled: bool = Field(alias="twapEnabled", default=False)
    lookback_s: Whole | None = Field(alias="twapLookbackSeconds", default=None)


class WireGammaMarket(Wire):
    """A market of Gamma; several lists are JSON inside a string."""

    slug: str
    condition_id: str | None = Field(alias="conditionId", default=None)
    resolution_source: str = Field(alias="resolutionSource", default="")
    opens_at: AwareDatetime = Field(alias="eventStartTime")
    closes_at: AwareDatetime = Field(alias="endDate")
    outcomes: Json[tuple[str, ...]]
    outcome_prices: Json[tuple[Amount, ...]] | None = Field(alias="outcomePrices", default=None)
    token_ids: Json[tuple[str, ...]] | Literal[""] | None = Field(alias="clobTokenIds", default=None)
    position_ids: tuple[str, ...] | None = Field(alias="positionIds", default=None)
    closed: bool = False
    closed_at: AwareDatetime | None = Field(alias="umaEndDate", default=None)
    accepting: bool = Field(alias="acceptingOrders", default=False)
    tick: Amount = Field(alias="orderPriceMinTickSize")
    min_size: Amount = Field(alias="orderMinSize")
    fees_enabled: bool = Field(alias="feesEnabled", default=True)
    fee_type: str | None = Field(alias="feeType", default=None)
    fee: WireFeeSchedule | None = Field(alias="feeSchedule", default=None)
    neg_risk: bool = Field(alias="negRisk", default=False)
    config: WireCryptoConfig | None = Field(alias="cryptoMarketConfig", default=None)
    version: str | None = None


class WireEventMetadata(Wire):
    """The price to beat, and after the end the final price; undocumented."""

    strike: Amount | None = Field(alias="priceToBeat", default=None)
    final_price: Amount | None = Field(alias="finalPrice", default=None)


class WireSeries(Wire):
    """A series by id and slug."""

    id: str
    slug: str


class WireGammaEvent(Wire):
    """An event; for these series it holds one market of the same slug."""

    slug: str
    markets: tuple[Any, ...] = ()
    series: tuple[WireSeries, ...] = ()
    metadata: WireEventMetadata | None = Field(alias="eventMetadata", default=None)


class WireEventPage(Wire):
    """A page of ``/events/keyset``."""

    events: tuple[Any, ...]
    next_cursor: str | None = None


class WireApiKey(Wire):
    """Credentials from ``/auth/api-key``."""

    api_key: str = Field(alias="apiKey")
    secret: str
    passphrase: str


class WireRelayerParameters(Wire):
    """The owner's next nonce."""

    nonce: Annotated[Whole, Field(ge=0)]


class WireRelayerTransaction(Wire):
    """How far a relayed transaction has come."""

    transaction_id: str
    state: str
    transaction_hash: str | None = None
    error_msg: str | None = None
