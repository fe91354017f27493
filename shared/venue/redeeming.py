"""Turning resolved tokens into cash through the gasless relayer; importable by execution alone.

The batch is signed by our own code: one call, redeemPositions on the collateral adapter (Protocol V1) or redeem on the
router for each outcome held (V2). The bytes are proved equal to those of the venue's SDK, whose client would fetch
Gamma and an RPC node first and wait in a loop for the result. Redeeming twice is harmless: the second finds nothing.
"""

import json
from types import TracebackType
from typing import Self

from eth_utils.crypto import keccak

from shared.domain.money import to_micro
from shared.domain.outcomes import KnownFailure, Outcome
from shared.runtime.clock import Clock
from shared.venue.credentials import RelayerKey
from shared.venue.executor import RedemptionReading, RedemptionRequest, RedemptionStage, RedemptionTicket
from shared.venue.http import HttpReads
from shared.venue.order_struct import address_word, word
from shared.venue.outcome import classify_relayer_answer
from shared.venue.parse import read
from shared.venue.refusals import Malformed, ReadFailed, Refusal, UnknownStatus, UnknownVersion
from shared.venue.signing import DEPOSIT_WALLET, OrderSigner, WalletCall
from shared.venue.urls import VenueUrls
from shared.venue.wire import WireRelayerParameters, WireRelayerTransaction
from shared.venue.writes import HttpWrites

COLLATERAL = "0xC011a7E12a19f7B1f670d46F03B03f3342E82DFB"
COLLATERAL_ADAPTER = "0xAdA100Db00Ca00073811820692005400218FcE1f"
NEG_RISK_ADAPTER = "0xadA2005600Dec949baf300f4C6120000bDB6eAab"
ROUTER_V2 = "0x12121212006e4CD160D18e3f00711DA5c3372600"
WALLET_FACTORY = "0x00000000000Fb5C9ADea0298D729A0CB3823Cc07"
DEADLINE_S = 600
_REDEEM_V1 = keccak(text="redeemPositions(address,bytes32,bytes32,uint256[])")[:4]
_REDEEM_V2 = keccak(text="redeem(bytes31,uint256,uint256)")[:4]
_CONDITION_BYTES = 32
_STAGES = {
    "STATE_NEW": RedemptionStage.PENDING,
    "STATE_EXECUTED": RedemptionStage.PENDING,
    "STATE_MINED": RedemptionStage.PENDING,
    "STATE_CONFIRMED": RedemptionStage.CONFIRMED,
    "STATE_FAILED": RedemptionStage.FAILED,
    "STATE_INVALID": RedemptionStage.FAILED,
}


class RelayerRedeeming:
    """Use as ``async with RelayerRedeeming(urls, signer, relayer_key, clock) as redeeming``."""

    def __init__(self, urls: VenueUrls, signer: OrderSigner, relayer_key: RelayerKey, clock: Clock) -> None:
        self._signer = signer
        self._relayer_key = relayer_key
        self._clock = clock
        self._reads = HttpReads(urls.relayer, clock)
        self._writes = HttpWrites(urls.relayer, clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._reads.__aexit__(kind, error, trace)
        await self._writes.__aexit__(kind, error, trace)

    async def redeem(self, request: RedemptionRequest) -> Outcome[RedemptionTicket]:
        """Ask the relayer once; a Success is its receipt, the cash is proved by the balance alone (E21)."""
        if self._signer.signature_type != DEPOSIT_WALLET:
            return KnownFailure(
                "EOA_PAYS_ITS_OWN_GAS",
                {
                    "what_to_do": "redeem in the web interface, or trade from a deposit wallet (signature type 3)"
                },
            )
        try:
            calls = redeem_calls(request)
            nonce = await self._nonce()
        except (ReadFailed, Refusal) as problem:
            return KnownFailure("NOT_PREPARED", {"problem": str(problem)})
        body = self._batch(calls, nonce, request)
        answer = await self._writes.send(
            "POST", "/submit", headers=self._relayer_key.headers(), body=body, act="redeem"
        )
        return classify_relayer_answer(
            answer.status, answer.headers, answer.body, answer.fault, began_send=answer.began_send
        )

    async def redemption_state(self, ticket: RedemptionTicket) -> RedemptionReading:
        """Return how far the relayer is.

        Raises:
            ReadFailed: the relayer did not answer.
            UnknownStatus: a state that is not on our list.
        """
        path = f"/v1/account/transactions/{ticket.transaction_id}"
        wire = read(WireRelayerTransaction, await self._reads.get(path, headers=self._relayer_key.headers()))
        stage = _STAGES.get(wire.state)
        if stage is None:
            raise UnknownStatus(f"relayer state {wire.state!r} is not known", status=wire.state)
        return RedemptionReading(
            stage, wire.transaction_hash or ticket.transaction_hash, wire.error_msg or ""
        )

    async def _nonce(self) -> int:
        params = {"address": self._signer.address, "type": "WALLET"}
        answer = await self._reads.get(
            "/v1/account/transactions/params", params, headers=self._relayer_key.headers()
        )
        return read(WireRelayerParameters, answer).nonce

    def _batch(self, calls: list[WalletCall], nonce: int, request: RedemptionRequest) -> str:
        deadline_s = int(self._clock.now().timestamp()) + DEADLINE_S
        signature = self._signer.sign_batch(calls, nonce=nonce, deadline_s=deadline_s)
        return json.dumps(
            {
                "type": "WALLET",
                "from": self._signer.address,
                "to": WALLET_FACTORY,
                "nonce": str(nonce),
                "signature": signature,
                "metadata": f"Redeem positions for condition {request.condition_id}",
                "depositWalletParams": {
                    "depositWallet": self._signer.wallet,
                    "deadline": str(deadline_s),
                    "calls": [
                        {"target": call.target, "value": str(call.value), "data": "0x" + call.data.hex()}
                        for call in calls
                    ],
                },
            },
            separators=(",", ":"),
        )


def redeem_calls(request: RedemptionRequest) -> list[WalletCall]:
    """Return the contract calls that redeem a market; the V1 one redeems both outcomes whole, whatever is held.

    Raises:
        UnknownVersion: neither v1 nor v2.
        Malformed: a condition id that is not 32 bytes, or nothing held (V2).
    """
    if request.version == "v1":
        adapter = NEG_RISK_ADAPTER if request.neg_risk else COLLATERAL_ADAPTER
        return [WalletCall(adapter, _redeem_v1(_condition(request)))]
    if request.version != "v2":
        raise UnknownVersion(f"market version {request.version!r} is not known", version=request.version)
    held = ((0, to_micro(request.up_shares)), (1, to_micro(request.down_shares)))
    calls = [
        WalletCall(ROUTER_V2, _redeem_v2(_condition(request), outcome, amount))
        for outcome, amount in held
        if amount
    ]
    if not calls:
        raise Malformed(f"nothing of {request.window_id} is held")
    return calls


def _redeem_v1(condition: bytes) -> bytes:
    head = address_word(COLLATERAL) + bytes(32) + condition + word(4 * 32)  # the list begins after four words
    return _REDEEM_V1 + head + word(2) + word(1) + word(2)


def _redeem_v2(condition: bytes, outcome: int, amount: int) -> bytes:
    # Conditions of V2 have 31 bytes; the venue shows them with a zero byte behind, as the encoding wants them.
    return _REDEEM_V2 + condition[:31] + b"\0" + word(outcome) + word(amount)


def _condition(request: RedemptionRequest) -> bytes:
    try:
        raw = bytes.fromhex(request.condition_id.removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) != _CONDITION_BYTES:
        raise Malformed(f"not a condition id: {request.condition_id!r}")
    return raw
