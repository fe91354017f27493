"""Who acts for an account in a mode: LIVE at the venue, PAPER on the stored book, DRY_RUN both but the POST (P6)."""

import random
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from services.execution.config import ExecutionSettings, SigningAccount
from shared.domain.ids import AccountId
from shared.domain.modes import RANK, Mode
from shared.runtime.clock import Clock
from shared.venue.account_reading import AccountReading
from shared.venue.cancelling import Cancelling
from shared.venue.credentials import Credentials, RelayerKey
from shared.venue.deadman import DeadManSwitch
from shared.venue.executor import Executor
from shared.venue.onboarding import credentials
from shared.venue.paper import PaperTrading, paper_address
from shared.venue.redeeming import RelayerRedeeming
from shared.venue.trading import LiveTrading, order_signer
from shared.venue.urls import VenueUrls
from shared.venue.user_feed import UserFeed


@dataclass(frozen=True, slots=True)
class LiveAccount:
    """One account's way to the venue, and what it logged in with."""

    trading: LiveTrading
    reading: AccountReading
    cancelling: Cancelling
    deadman: DeadManSwitch
    login: Credentials
    user_stream_url: str

    def user_feed(self, clock: Clock) -> UserFeed:
        """Return its own channel; the market's fee is the Book's to say."""
        chance = random.Random(self.login.address)  # noqa: S311 - jitter is no secret
        return UserFeed(self.user_stream_url, self.login, clock, chance, fee_of=lambda _token: None)


class Executors:
    """Every executor this process may use. Paper needs no preparation, so an account opened later has one, too."""

    def __init__(self, ceiling: Mode, live: Mapping[AccountId, LiveAccount]) -> None:
        self._ceiling = ceiling
        self._live = live

    def find(self, mode: Mode, account: AccountId) -> Executor | None:
        """Return who acts for an account in a mode; None when this process may not (D5)."""
        if mode is Mode.BACKTEST or RANK[mode] > RANK[self._ceiling]:
            return None
        live = self._live.get(account)
        if mode is Mode.LIVE:
            return None if live is None else live.trading
        if mode is Mode.DRY_RUN and live is not None:
            return PaperTrading(paper_address(account), preparing=live.trading.prepare)
        return PaperTrading(paper_address(account))

    def live(self, account: AccountId) -> LiveAccount | None:
        """Return an account's way to the venue; None where this process trades no real money of it."""
        return self._live.get(account) if self._ceiling is Mode.LIVE else None

    def live_accounts(self) -> list[AccountId]:
        """Return the accounts that trade real money here."""
        return sorted(self._live) if self._ceiling is Mode.LIVE else []

    def user_feed(self, account: AccountId, clock: Clock) -> UserFeed:
        """Return the venue's channel of one live account: its orders and trades as they happen."""
        return self._live[account].user_feed(clock)

    async def warm(self) -> None:
        """Keep a connection of each live account open."""
        for account in self.live_accounts():
            await self._live[account].trading.warm()


async def make_executors(settings: ExecutionSettings, clock: Clock, closing: AsyncExitStack) -> Executors:
    """Return the executors; with keys and above PAPER, each account has logged in.

    Raises:
        LoginFailed: the venue gave no credentials.
        Malformed: a key is none.
    """
    live: dict[AccountId, LiveAccount] = {}
    if RANK[settings.trading_mode] >= RANK[Mode.DRY_RUN]:
        for account, signing in settings.signing_accounts.items():
            live[account] = await _live(settings.venue_urls, signing, clock, closing)
    return Executors(settings.trading_mode, live)


async def _live(
    urls: VenueUrls, signing: SigningAccount, clock: Clock, closing: AsyncExitStack
) -> LiveAccount:
    signer = order_signer(signing.private_key, wallet=signing.wallet, signature_type=signing.signature_type)
    login = await credentials(signer, urls, clock)
    reading = await closing.enter_async_context(
        AccountReading(urls, login, clock, signature_type=signing.signature_type)
    )
    relayer = RelayerKey(signing.relayer_api_key, signing.relayer_api_key_address or signer.address)
    redeeming = await closing.enter_async_context(RelayerRedeeming(urls, signer, relayer, clock))
    trading = await closing.enter_async_context(
        LiveTrading(urls, signer, login, clock, account=reading, redeeming=redeeming)
    )
    cancelling = await closing.enter_async_context(Cancelling(urls, login, clock))
    deadman = await closing.enter_async_context(DeadManSwitch(urls, login, clock))
    return LiveAccount(trading, reading, cancelling, deadman, login, urls.user_stream)
