"""What must be so before real money is traded: each check by name, pass or fail, with what to do (E22).

A check that could not be made has failed (P3).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from shared.domain.amounts import MARKETABLE_MIN_USDC
from shared.domain.clocks import MeasuredClock
from shared.domain.ids import AccountId

DEPOSIT_WALLET = 3
OWN_OFFSET_MAX = timedelta(milliseconds=250)
VENUE_OFFSET_MAX_S = Decimal(1)
EXCHANGES: Mapping[str, str] = {
    "0xE111180000d2663C0091e4f400237545B87B996B": "the exchange of v1 markets",
    "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa": "the exchange of v2 markets",
}
"""Who must be allowed to move an account's money and tokens for an order to settle (venue documentation, 2026)."""
_KINDS = {0: "EOA", 1: "proxy", 2: "Gnosis safe", DEPOSIT_WALLET: "deposit wallet"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found, and what to do when it is not good."""

    check: str
    ok: bool
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class AccountStanding:
    """How an account stands at the venue and on its chain; what could not be read is None, and ``unread`` says why."""

    account_id: AccountId
    address: str
    """The key's own."""
    wallet: str
    signature_type: int
    has_code: bool | None
    key_listed: bool | None
    """The venue lists our API key among those of the address."""
    closed_only: bool | None
    allowances: Mapping[str, int] | None
    """Exchange → the least of what it may move: money, and tokens where a market was at hand; base units."""
    position_cap_usdc: Decimal
    unread: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VenueStanding:
    """How the venue stands to this machine."""

    blocked: bool | None
    country: str
    offset_s: Decimal | None
    """Its clock ahead of ours."""
    unread: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DatabaseFooting:
    """What the Book stands on."""

    fsync: str
    full_page_writes: str
    synchronous_commit: str
    own_backend: bool
    """Each connection keeps a backend of its own, with what was set on it: no transaction pooler is in between."""
    own_offset: timedelta
    """Our clock minus Postgres's."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """Everything looked at."""

    database: DatabaseFooting
    venue: VenueStanding
    accounts: Sequence[AccountStanding]
    clocks: Sequence[MeasuredClock] = ()
    """As the feed collector last measured them; empty while none runs, and then nothing is entered either."""


def examine(read: Preflight) -> tuple[Finding, ...]:
    """Return every check, passed or not, in the order a person would look."""
    findings = [*_database(read.database), *_venue(read.venue), _exchanges(read.clocks)]
    if not read.accounts:
        findings.append(Finding("accounts", ok=False, found="none", advice="give the credentials of one"))
    for account in read.accounts:
        findings += [
            Finding(f"{each.check} of {account.account_id}", each.ok, each.found, each.advice)
            for each in _account(account)
        ]
    return tuple(findings)


def failed(findings: Sequence[Finding], *, waived: frozenset[str] = frozenset()) -> tuple[Finding, ...]:
    """Return the checks that keep LIVE from starting; a person may waive one by its first word."""
    return tuple(each for each in findings if not each.ok and each.check.split(" ")[0] not in waived)


def _database(footing: DatabaseFooting) -> Iterator[Finding]:
    settings = {
        "fsync": footing.fsync,
        "full_page_writes": footing.full_page_writes,
        "synchronous_commit": footing.synchronous_commit,
    }
    off = [name for name, value in settings.items() if value == "off"]
    yield Finding(
        "durability",
        not off,
        ", ".join(f"{name} {value}" for name, value in settings.items()),
        f"turn {' and '.join(off)} on: a committed row must survive a crash",
    )
    yield Finding(
        "pooler",
        footing.own_backend,
        "each connection has its own backend" if footing.own_backend else "connections share backends",
        "connect to Postgres directly, or through a pooler in session mode: the executor's lock is a session's",
    )
    yield Finding(
        "clock of this machine",
        abs(footing.own_offset) <= OWN_OFFSET_MAX,
        f"{footing.own_offset / timedelta(milliseconds=1):+.1f} ms from the database's",
        "let both machines keep time with NTP",
    )


def _venue(venue: VenueStanding) -> Iterator[Finding]:
    yield Finding(
        "geoblock",
        venue.blocked is False,
        _said(venue.unread, "geoblock", f"{venue.country or 'this address'} may trade", bad=venue.blocked),
        "trade from a region and an address the venue serves; orders from here are refused",
    )
    offset = venue.offset_s
    yield Finding(
        "venue's clock",
        offset is not None and abs(offset) <= VENUE_OFFSET_MAX_S,
        _said(venue.unread, "clock", f"{offset} s ahead of ours"),
        "let this machine keep time with NTP: no entry goes out beyond one second",
    )


def _exchanges(clocks: Sequence[MeasuredClock]) -> Finding:
    off = [f"{each.source} is {each.offset_ms:+.0f} ms off" for each in clocks if each.is_off]
    fine = f"{len(clocks)} measured within a minute" if clocks else "no collector has measured them yet"
    return Finding(
        "feeds' clocks",
        not off,
        ", ".join(off) or fine,
        "let this machine keep time with NTP; if it does, that feed is late, and nothing may be decided by it",
    )


def _account(account: AccountStanding) -> Iterator[Finding]:
    kind = account.signature_type
    apart = kind == 0 or account.wallet.lower() != account.address.lower()
    yield Finding(
        "wallet kind",
        kind in {1, 2, DEPOSIT_WALLET} and apart,
        f"{_KINDS.get(kind, f'unknown kind {kind}')} {account.wallet} of {account.address}",
        "use a deposit wallet (signature type 3): the venue refuses orders of new accounts of any other kind",
    )
    yield Finding(
        "wallet deployment",
        account.has_code is True,
        _said(account.unread, "deployment", "there is a contract at its address", bad=not account.has_code),
        "place one small order in the venue's own page, or let its SDK deploy the wallet with a relayer key",
    )
    yield Finding(
        "credentials",
        account.key_listed is True,
        _said(account.unread, "credentials", "the venue knows the API key", bad=not account.key_listed),
        "log in anew with this account's key: python -m services.execution.credentials",
    )
    yield _allowed(account)
    yield Finding(
        "restriction",
        account.closed_only is False,
        _said(account.unread, "restriction", "it may open positions", bad=account.closed_only),
        "the venue lets this account only close, or not trade at all: ask its support why",
    )
    yield Finding(
        "sizes",
        account.position_cap_usdc == 0
        or account.position_cap_usdc >= MARKETABLE_MIN_USDC,  # 0: closed on purpose
        f"a position may cost {account.position_cap_usdc:f} USDC, the smallest order {MARKETABLE_MIN_USDC:f}",
        "raise max_position_usd to at least the venue's smallest order with its fee",
    )


def _allowed(account: AccountStanding) -> Finding:
    granted = {name.lower(): amount for name, amount in (account.allowances or {}).items()}
    missing = [meaning for exchange, meaning in EXCHANGES.items() if granted.get(exchange.lower(), 0) <= 0]
    said = (
        f"{', '.join(missing)} may move nothing" if missing else "both exchanges may move what an order needs"
    )
    return Finding(
        "allowances",
        account.allowances is not None and not missing,
        _said(account.unread, "allowances", said),
        "approve the exchanges once for money and tokens, then have the venue look again",
    )


def _said(unread: Mapping[str, str], name: str, good: str, *, bad: bool | None = False) -> str:
    if name in unread:
        return f"could not be read: {unread[name]}"
    return "no" if bad else good
