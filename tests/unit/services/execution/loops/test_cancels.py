"""What the answer to a cancel says: none of them ends an order, and one that does not name ours says nothing."""

import pytest

from services.execution.loops.cancels import read_cancel
from shared.domain.cancels import CancelAnswer
from shared.domain.outcomes import KnownFailure, Success, Unknown
from shared.venue.accounts import Cancellation
from tests.unit.shared.domain.test_cancels import RESTS


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        (Success(Cancellation(("0x1",), {})), CancelAnswer.CANCELLED),
        (Success(Cancellation(("0X1",), {})), CancelAnswer.CANCELLED),
        (Success(Cancellation((), {"0x1": "already canceled or matched"})), CancelAnswer.NOT_CANCELLED),
        (Success(Cancellation(("0x2",), {"0x3": "Order already matched"})), CancelAnswer.LOST),
        (Success(Cancellation((), {})), CancelAnswer.LOST),
        (KnownFailure("NOT_SENT"), CancelAnswer.NOT_SENT),
        (KnownFailure("ENGINE_RESTARTING"), CancelAnswer.REFUSED),
        (KnownFailure("UNAUTHORIZED", trips=True), CancelAnswer.REFUSED),
        (Unknown("TIMEOUT"), CancelAnswer.LOST),
    ],
)
def test_an_answer_is_believed_only_where_it_names_our_order(outcome, answer):
    learnt, details = read_cancel(RESTS, outcome)
    assert learnt is answer
    assert details.get("trips", False) is (isinstance(outcome, KnownFailure) and outcome.trips)
