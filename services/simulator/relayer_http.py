"""The fake relayer: takes a deposit wallet's signed batch, performs it on the fake chain, and can be asked about it."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from eth_utils.address import to_checksum_address

from services.simulator.accounts import Wallet
from services.simulator.chain_calls import Call, Sender, perform
from services.simulator.settlement import Reverted
from services.simulator.signatures import batch_signer, deposit_wallet_of, is_address
from services.simulator.venue import Venue, answer, error
from services.simulator.venue_auth import builder_proved

DEPOSIT_WALLET: Final = 3
Route = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(slots=True)
class Transaction:
    """One submitted batch."""

    transaction_id: str
    owner: str
    state: str = "STATE_NEW"
    transaction_hash: str = ""
    error_msg: str | None = None

    def wire(self) -> dict[str, object]:
        """Return what polling shows."""
        body: dict[str, object] = {
            "transaction_id": self.transaction_id,
            "transaction_hash": self.transaction_hash,
            "state": self.state,
        }
        return body | ({"error_msg": self.error_msg} if self.error_msg else {})


@dataclass(slots=True)
class Relayer:
    """Nonces by owner and transactions by id."""

    venue: Venue
    mined_ms: int
    nonces: dict[str, int] = field(default_factory=dict)
    transactions: dict[str, Transaction] = field(default_factory=dict)

    def api_key(self, address: str) -> str:
        """Return the relayer API key of an address: a function of the seed."""
        return self.venue.keys.make(address, -1).key

    def busy(self, owner: str) -> bool:
        """Return whether a batch of the owner is still on its way."""
        return any(
            found.owner == owner and found.state in ("STATE_NEW", "STATE_EXECUTED")
            for found in self.transactions.values()
        )

    def start(self, owner: str, act: Callable[[int, str], None]) -> Transaction:
        """Take a batch on; ``act`` is done when it is mined and may revert."""
        settlement, timetable = self.venue.exchange.settlement, self.venue.exchange.timetable
        found = Transaction(settlement.fresh_id(), owner)
        self.transactions[found.transaction_id] = found
        now_ms = self.venue.now_ms()

        def execute(_when: int) -> None:
            found.state, found.transaction_hash = "STATE_EXECUTED", settlement.transaction_hash()

        def mine(when_ms: int) -> None:
            try:
                act(when_ms, found.transaction_hash)
            except Reverted as reverted:
                found.state, found.error_msg = "STATE_FAILED", str(reverted)
                return
            found.state = "STATE_MINED"

        def confirm(_when: int) -> None:
            if found.state == "STATE_MINED":
                found.state = "STATE_CONFIRMED"

        timetable.at(now_ms + self.mined_ms // 2, execute)
        timetable.at(now_ms + self.mined_ms, mine)
        timetable.at(now_ms + 2 * self.mined_ms, confirm)
        return found


def relayer_routes(relayer: Relayer) -> list[web.RouteDef]:
    """Return all routes of the fake relayer."""
    return [
        web.get("/deployed", _deployed(relayer)),
        web.get("/v1/account/transactions/params", _parameters(relayer)),
        web.get("/v1/account/transactions/{id}", _poll(relayer)),
        web.post("/submit", _submit(relayer)),
    ]


def _deployed(relayer: Relayer) -> Route:
    async def route(request: web.Request) -> web.Response:
        address = request.query.get("address", "")
        known = is_address(address) and to_checksum_address(address) in relayer.venue.exchange.wallets
        return answer({"deployed": known})

    return route


def _parameters(relayer: Relayer) -> Route:
    async def route(request: web.Request) -> web.Response:
        address = request.query.get("address", "")
        if not is_address(address):
            return error(400, "invalid address")
        return answer({"address": address, "nonce": str(relayer.nonces.get(to_checksum_address(address), 0))})

    return route


def _poll(relayer: Relayer) -> Route:
    async def route(request: web.Request) -> web.Response:
        found = relayer.transactions.get(request.match_info["id"])
        return error(404, "transaction not found") if found is None else answer(found.wire())

    return route


def _submit(relayer: Relayer) -> Route:
    async def route(request: web.Request) -> web.Response:
        body = await request.read()
        if not _authorized(relayer, request, body):
            return error(401, "invalid authorization")
        try:
            payload = json.loads(body)
            owner = to_checksum_address(payload["from"])
            if payload["type"] == "WALLET-CREATE":
                found: Transaction | web.Response = _create(relayer, owner)
            elif payload["type"] == "WALLET":
                found = _batch(relayer, owner, payload)
            else:
                return error(400, f"unsupported transaction type {payload['type']}")
        except (KeyError, TypeError, ValueError, AttributeError):
            return error(400, "invalid payload")
        if isinstance(found, web.Response):
            return found
        return answer({"transactionID": found.transaction_id, "transactionHash": "", "state": found.state})

    return route


def _authorized(relayer: Relayer, request: web.Request, body: bytes) -> bool:
    """Return whether relayer or builder headers prove a known key."""
    headers = request.headers
    address = headers.get("RELAYER_API_KEY_ADDRESS", "")
    if is_address(address):
        return headers.get("RELAYER_API_KEY") == relayer.api_key(to_checksum_address(address))
    builder = next(
        (
            made
            for wallet in relayer.venue.exchange.wallets.values()
            if (made := relayer.venue.keys.make(wallet.owner, -2)).key == headers.get("POLY_BUILDER_API_KEY")
        ),
        None,
    )
    return builder is not None and builder_proved(
        builder.secret,
        headers=headers,
        method=request.method,
        path=request.path,
        body=body,
        now_s=relayer.venue.now_ms() // 1000,
    )


def _create(relayer: Relayer, owner: str) -> Transaction:
    def act(_when_ms: int, _transaction_hash: str) -> None:
        relayer.venue.exchange.open_wallet(deposit_wallet_of(owner), owner, DEPOSIT_WALLET)

    return relayer.start(owner, act)


def _batch(relayer: Relayer, owner: str, payload: Mapping[str, Any]) -> Transaction | web.Response:
    """Check nonce, deadline and signature of a batch, then take it on."""
    parameters = payload["depositWalletParams"]
    address = to_checksum_address(parameters["depositWallet"])
    calls = [
        Call(call["target"], int(call["value"]), bytes.fromhex(call["data"][2:]))
        for call in parameters["calls"]
    ]
    nonce, deadline = int(payload["nonce"]), int(parameters["deadline"])
    wallet: Wallet | None = relayer.venue.exchange.wallets.get(address)
    expected = relayer.nonces.get(owner, 0)
    if wallet is None or wallet.owner != owner or wallet.signature_type != DEPOSIT_WALLET:
        return error(400, "wallet is not registered for this owner")
    if relayer.busy(owner):
        return error(400, f"wallet busy: {address} has an active action")
    if nonce != expected:
        return error(400, f"batch nonce {nonce} does not match on-chain nonce {expected}")
    if deadline * 1000 <= relayer.venue.now_ms():
        return error(400, "deadline expired")
    raw = [(call.target, call.value, call.data) for call in calls]
    if batch_signer(address, nonce, deadline, raw, payload["signature"]) != owner:
        return error(400, "invalid signature")
    relayer.nonces[owner] = expected + 1

    def act(when_ms: int, transaction_hash: str) -> None:
        for call in calls:
            perform(Sender(relayer.venue.exchange, wallet, when_ms, transaction_hash), call)

    return relayer.start(owner, act)
