"""The calls and the signed batch are those the venue's own SDK makes."""

import dataclasses
import json
from decimal import Decimal

import httpx
import pytest
import respx
from polymarket._internal.actions.relayer.calls import ctf_redeem_positions_call, router_redeem_call
from polymarket._internal.actions.relayer.gasless import build_deposit_wallet_payload
from polymarket.environments import PRODUCTION
from pydantic import SecretStr

from shared.domain.outcomes import KnownFailure
from shared.venue.credentials import RelayerKey
from shared.venue.executor import RedemptionStage, RedemptionTicket
from shared.venue.redeeming import (
    COLLATERAL,
    COLLATERAL_ADAPTER,
    NEG_RISK_ADAPTER,
    ROUTER_V2,
    WALLET_FACTORY,
    RelayerRedeeming,
    redeem_calls,
)
from shared.venue.refusals import Malformed, UnknownStatus, UnknownVersion
from shared.venue.signing import DEPOSIT_WALLET, OrderSigner
from shared.venue.urls import VenueUrls
from tests.unit.shared.venue.venue_values import OWNER, PRIVATE_KEY, REDEMPTION, WALLET, SetClock

RELAYER = "https://relayer.test"
KEY = RelayerKey(SecretStr("relayer-key"), OWNER)
SDK = PRODUCTION._config


def request(**changes):

    return dataclasses.replace(REDEMPTION, **changes)


def redeeming(signer=None):
    signer = signer or OrderSigner(PRIVATE_KEY, WALLET, DEPOSIT_WALLET)
    return RelayerRedeeming(VenueUrls(relayer=RELAYER), signer, KEY, SetClock())


def test_addresses_are_the_sdks():
    assert (
        SDK.collateral_token,
        SDK.collateral_adapter,
        SDK.neg_risk_collateral_adapter,
        SDK.protocol_v2_router,
        SDK.wallet_derivation.deposit_wallet_factory,
    ) == (COLLATERAL, COLLATERAL_ADAPTER, NEG_RISK_ADAPTER, ROUTER_V2, WALLET_FACTORY)


@pytest.mark.parametrize(("neg_risk", "adapter"), [(False, COLLATERAL_ADAPTER), (True, NEG_RISK_ADAPTER)])
def test_a_v1_market_is_redeemed_by_the_call_the_sdk_makes(neg_risk, adapter):
    (call,) = redeem_calls(request(neg_risk=neg_risk))
    theirs = ctf_redeem_positions_call(
        ctf=adapter, collateral=COLLATERAL, condition_id=REDEMPTION.condition_id
    )
    assert (call.target, "0x" + call.data.hex(), call.value) == (theirs.to, theirs.data, 0)


def test_a_v2_market_is_redeemed_outcome_by_outcome_by_the_calls_the_sdk_makes():
    condition = "0x" + "ab" * 31 + "00"
    calls = redeem_calls(request(version="v2", condition_id=condition, down_shares=Decimal("0.5")))
    theirs = [
        router_redeem_call(router=ROUTER_V2, condition_id=condition, outcome_index=outcome, amount=amount)
        for outcome, amount in ((0, 2_180_000), (1, 500_000))
    ]
    assert [(call.target, "0x" + call.data.hex()) for call in calls] == [
        (call.to, call.data) for call in theirs
    ]


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"version": "v9"}, UnknownVersion),
        ({"condition_id": "0x1234"}, Malformed),
        ({"condition_id": "zz" * 32}, Malformed),
        ({"version": "v2", "up_shares": Decimal(0)}, Malformed),
    ],
)
def test_what_cannot_be_redeemed_is_refused(changes, refusal):
    with pytest.raises(refusal):
        redeem_calls(request(**changes))


def test_the_submitted_envelope_is_the_one_the_sdk_builds():
    redeems = redeeming()
    body = json.loads(redeems._batch(redeem_calls(REDEMPTION), 5, REDEMPTION))
    theirs = build_deposit_wallet_payload(
        signer_address=OWNER,
        deposit_wallet_factory=WALLET_FACTORY,
        wallet=WALLET,
        calls=[
            ctf_redeem_positions_call(
                ctf=COLLATERAL_ADAPTER, collateral=COLLATERAL, condition_id=REDEMPTION.condition_id
            )
        ],
        nonce="5",
        deadline=body["depositWalletParams"]["deadline"],
        signature=body["signature"],
        metadata=f"Redeem positions for condition {REDEMPTION.condition_id}",
    )
    assert body == theirs
    assert int(body["depositWalletParams"]["deadline"]) == int(SetClock().now().timestamp()) + 600


async def test_a_key_without_a_deposit_wallet_is_told_what_to_do():
    outcome = await redeeming(OrderSigner(PRIVATE_KEY)).redeem(REDEMPTION)
    assert isinstance(outcome, KnownFailure)
    assert "deposit wallet" in outcome.detail["what_to_do"]


async def test_without_a_nonce_nothing_is_submitted():
    with respx.mock(base_url=RELAYER) as router:
        router.get("/v1/account/transactions/params").mock(
            return_value=httpx.Response(400, json={"error": "no"})
        )
        async with redeeming() as redeems:
            outcome = await redeems.redeem(REDEMPTION)
    assert isinstance(outcome, KnownFailure)
    assert outcome.reason == "NOT_PREPARED"


@pytest.mark.parametrize(
    ("state", "stage"),
    [
        ("STATE_NEW", RedemptionStage.PENDING),
        ("STATE_EXECUTED", RedemptionStage.PENDING),
        ("STATE_MINED", RedemptionStage.PENDING),
        ("STATE_CONFIRMED", RedemptionStage.CONFIRMED),
        ("STATE_FAILED", RedemptionStage.FAILED),
        ("STATE_INVALID", RedemptionStage.FAILED),
        ("STATE_NEWER", None),
    ],
)
async def test_the_relayers_states_are_known_or_refused(state, stage):
    answer = {"transaction_id": "t", "state": state, "transaction_hash": "", "error_msg": None}
    with respx.mock(base_url=RELAYER) as router:
        route = router.get("/v1/account/transactions/t").mock(return_value=httpx.Response(200, json=answer))
        async with redeeming() as redeems:
            if stage is None:
                with pytest.raises(UnknownStatus):
                    await redeems.redemption_state(RedemptionTicket("t"))
                return
            reading = await redeems.redemption_state(RedemptionTicket("t", "0xhash"))
        assert route.calls[0].request.headers["RELAYER_API_KEY"] == "relayer-key"
    assert (reading.stage, reading.transaction_hash) == (stage, "0xhash")
