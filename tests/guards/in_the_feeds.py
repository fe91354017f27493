"""Guards of what is captured: nothing lost, nothing twice, and said where it is doubtful."""

from tests.guards.guard import Guard

_PROCESS = "tests/integration/test_collector_process.py::"
_QUALITY = "tests/integration/test_collector_quality.py::"

FEED_GUARDS = (
    Guard(
        "a new collector takes up at the last trade the Book holds",
        "C4",
        "services/feed_collector/__main__.py",
        "Tape(await actions.start(database))",
        "Tape(await actions.start(database) and ())",
        _PROCESS + "test_a_new_collector_takes_up_where_the_book_ends",
    ),
    Guard(
        "a trade that is repeated is kept once",
        "C4",
        "services/feed_collector/tape.py",
        "        if news.judged(event.trade_id) is Novelty.DUPLICATE:\n            return\n",
        "        news.judged(event.trade_id)\n",
        _PROCESS + "test_what_a_feed_repeats_or_sends_late_is_stored_once_and_counted_on_it",
    ),
    Guard(
        "a book is proved by the venue's own hash",
        "C6",
        "shared/venue/book_keeping.py",
        "    state = _proved(state, event, last.digest)\n",
        "",
        "tests/contract/test_feeds_market_quirks.py::"
        "test_a_change_lost_behind_the_best_prices_is_noticed_by_the_venues_hash",
    ),
    Guard(
        "the oracle's word wakes who looks",
        "C7",
        "services/feed_collector/__main__.py",
        "if tick.source is not Source.POLYMARKET)",
        "if tick.source is Source.BINANCE)",
        _PROCESS + "test_the_oracle_wakes_who_looks_and_each_change_follows_from_the_one_before",
    ),
    Guard(
        "an oracle's change that could not be written comes again",
        "C7",
        "services/feed_collector/keeping.py",
        "            self.tape.give_back_changes(changes)\n",
        "",
        "tests/unit/services/feed_collector/test_keeping.py::"
        "test_an_oracles_change_that_could_not_be_written_comes_again_in_order",
    ),
    Guard(
        "a divergence that could not be written comes again",
        "C8",
        "services/feed_collector/quality/judging.py",
        "                    self.tape.divergences.give_back(news)\n",
        "",
        _QUALITY + "test_where_feeds_part_and_meet_is_written_while_they_do_though_a_writing_fails",
    ),
    Guard(
        "a clock that is off is told",
        "C13",
        "services/feed_collector/quality/judging.py",
        "            elif row.source not in self._alerted:",
        "            elif False:",
        _PROCESS + "test_a_clock_that_is_off_is_measured_at_the_start_shown_and_told",
    ),
)
