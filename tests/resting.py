"""A real order that rests at the fake venue, placed with a street's own key, in the Book or behind its back."""

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pydantic import SecretStr

from shared.domain.ids import AccountId, PositionId, SignalId, TokenId, WindowId, order_salt
from shared.domain.modes import Mode
from shared.domain.orders import OrderSide, OrderType, Purpose
from shared.domain.outcomes import Success
from shared.domain.prepared import OrderIntent, PreparedOrder
from shared.venue.account_reading import AccountReading
from shared.venue.credentials import Credentials, RelayerKey
from shared.venue.onboarding import credentials
from shared.venue.redeeming import RelayerRedeeming
from shared.venue.signing import OrderSigner
from shared.venue.trading import LiveTrading, order_signer
from shared.venue.urls import VenueUrls
from tests.factories import CLOCK, Claim
from tests.processes import Street


@dataclass
class Maker:
    """The person with this street's key in another client."""

    street: Street
    made: int = 0
    keys: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.keys = json.loads(self.street.signing_keys())[self.street.desk.account]

    @property
    def urls(self) -> VenueUrls:
        urls = self.street.venue.urls
        return VenueUrls(
            clob=urls["clob_url"],
            gamma=urls["gamma_url"],
            data=urls["data_url"],
            relayer=urls["relayer_url"],
            rpc=urls["rpc_url"],
        )

    @property
    def signer(self) -> OrderSigner:
        key = SecretStr(self.keys["private_key"])
        return order_signer(key, wallet=self.keys["wallet"], signature_type=3)

    def login(self) -> Credentials:
        return asyncio.run(credentials(self.signer, self.urls, CLOCK))

    def account_credentials(self) -> str:
        """ACCOUNT_CREDENTIALS of this street: what whoever may read and cancel is given."""
        login = self.login()
        return json.dumps(
            {
                self.street.desk.account: {
                    "address": login.address,
                    "api_key": login.api_key.get_secret_value(),
                    "secret": login.secret.get_secret_value(),
                    "passphrase": login.passphrase.get_secret_value(),
                    "wallet": self.keys["wallet"],
                    "signature_type": 3,
                }
            }
        )

    def intent(self, *, order_type: OrderType = OrderType.GTC, **changes: Any) -> OrderIntent:
        """Fifty shares at four cents: nobody sells so low, so it rests."""
        self.made += 1
        window = self.street.window
        values: dict[str, Any] = {
            "account_id": AccountId(self.street.desk.account),
            "mode": Mode.LIVE,
            "purpose": Purpose.ENTRY,
            "signal_id": SignalId(f"rests-{self.made}"),
            "position_id": PositionId(f"rests-{self.made}"),
            "window_id": WindowId(window["slug"]),
            "token_id": TokenId(window["up_token"]),
            "side": OrderSide.BUY,
            "order_type": order_type,
            "limit_price": Decimal("0.04"),
            "amount": Decimal(50),
            "tick": Decimal("0.01"),
            "neg_risk": False,
            "version": "v1",
            "salt": order_salt(f"{self.street.folder}/{self.made}"),
            "timestamp_ms": int(CLOCK.now().timestamp() * 1000),
        }
        return OrderIntent(**(values | changes))

    def place(self, intent: OrderIntent) -> PreparedOrder:
        """Sign and post an order; it must be taken."""

        async def act() -> PreparedOrder:
            async with AsyncExitStack() as stack:
                login = await credentials(self.signer, self.urls, CLOCK)
                reading = await stack.enter_async_context(
                    AccountReading(self.urls, login, CLOCK, signature_type=3)
                )
                relayer = RelayerKey(SecretStr(self.keys["relayer_api_key"]), self.signer.address)
                redeeming = await stack.enter_async_context(
                    RelayerRedeeming(self.urls, self.signer, relayer, CLOCK)
                )
                trading = await stack.enter_async_context(
                    LiveTrading(self.urls, self.signer, login, CLOCK, account=reading, redeeming=redeeming)
                )
                prepared = trading.prepare(intent)
                outcome = await trading.submit(prepared, before_send=lambda: True)
                assert isinstance(outcome, Success), outcome
                return prepared

        return asyncio.run(act())

    def rest(self, *, written_as: str = "GTC", **changes: Any) -> Claim:
        """An order of the Book that rests at the venue: claimed, placed and recorded as the executor does."""
        desk = self.street.desk
        prepared = self.place(self.intent(**changes))
        intent = prepared.intent
        signal = desk.signal(intent.window_id, token_id=intent.token_id)
        claim = desk.claim(
            signal,
            order_id=prepared.order_id,
            token_id=intent.token_id,
            order_type=written_as,
            limit_price=str(intent.limit_price),
            maker_amount=str(Decimal(prepared.maker_amount) / 1_000_000),
            taker_amount=str(Decimal(prepared.taker_amount) / 1_000_000),
            reserved_usdc="2.14",
        )
        assert claim.refused is None, claim.refused
        assert desk.record(claim.order_id, "RESTS", status="live") == "LIVE"
        return claim

    def at_venue(self, order_id: str) -> dict[str, Any]:
        """The order as the venue knows it."""
        found = [each for each in self.street.venue.ask("/truth")["orders"] if each["id"] == order_id]
        assert len(found) == 1, found
        row: dict[str, Any] = found[0]
        return row
