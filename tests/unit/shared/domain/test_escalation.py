"""What is due of an open breaker, by its own clock."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.escalation import AFTER, Stage, due_stages, reminders

OPENED = datetime(2026, 11, 20, 12, tzinfo=UTC)
A, C, H = Stage.ALERT, Stage.CANCEL, Stage.HALT


@pytest.mark.parametrize(
    ("seconds", "done", "due"),
    [
        (0, (), ()),
        (299.999, (), ()),
        (300, (), (A,)),
        (301, (A,), ()),
        (899.999, (A,), ()),
        (900, (A,), (C,)),
        (900, (), (A, C)),  # nobody looked for a while: each is done, in order
        (1800, (), (A, C, H)),
        (1800, (A, C), (H,)),
        (1800, (C,), (A, H)),
        (999999, (A, C, H), ()),
    ],
)
def test_each_stage_is_due_once_in_its_order(seconds, done, due):
    assert due_stages(OPENED, OPENED + timedelta(seconds=seconds), done) == due


def test_every_stage_has_its_time():
    assert set(AFTER) == set(Stage)
    assert list(AFTER.values()) == sorted(AFTER.values())


@pytest.mark.parametrize(("seconds", "number"), [(0, 1), (29.9, 1), (30, 2), (59, 2), (300, 11)])
def test_an_open_breaker_is_logged_every_half_minute(seconds, number):
    assert reminders(OPENED, OPENED + timedelta(seconds=seconds)) == number
