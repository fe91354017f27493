"""How far other clocks are off, and how sure that is (C13)."""

from decimal import Decimal

from services.feed_collector.clocks import DatabaseClock, Lead, LeadReading
from tests.unit.services.feed_collector.test_tape import after

D = Decimal


def test_the_databases_clock_is_read_half_way_between_question_and_answer():
    reading = DatabaseClock(after(0), after(1.25), after(0.5))
    assert (reading.offset_ms, reading.error_ms) == (D(1000), D(250))


def test_the_quickest_message_tells_most_of_a_clock():
    lead = Lead()
    assert lead.best() is None
    for left, came in ((10.0, 10.3), (11.0, 11.1), (12.0, 12.2)):
        lead.heard(after(left), after(came))
    assert lead.best() == LeadReading(D(-100), D(100))


def test_a_clock_that_was_set_back_is_believed_within_two_minutes():
    lead = Lead()
    lead.heard(after(1002), after(0))
    for second in range(1, 125):
        lead.heard(after(second - 0.1), after(second))
    assert lead.best() == LeadReading(D(-100), D(0))
