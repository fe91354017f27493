from services.simulator.listing import as_protocol_v2
from services.simulator.refusal_texts import NOT_READY
from services.simulator.timetable import Timetable
from tests.unit.services.simulator.venue_world import FIRST, START_MS, WINDOW, Floor, SmallWorld, ladder


def frames(count):
    return [FIRST, *(ladder(START_MS + 100 * turn, f"0.{30 + turn}x1", "0.99x1") for turn in range(1, count))]


def best_bid(floor):
    return floor.market.book.best(is_up=True)[0]


def test_frames_are_shown_at_their_moment():
    floor = Floor(SmallWorld(frames(5)))
    assert best_bid(floor) == 500_000
    floor.pass_ms(100)
    assert best_bid(floor) == 310_000
    floor.pass_ms(200)
    assert best_bid(floor) == 330_000


def test_after_a_stall_only_the_newest_frame_is_shown():
    floor = Floor(SmallWorld(frames(50)))
    shown = []
    show = floor.exchange.frame
    floor.exchange.frame = lambda *frame: (shown.append(frame), show(*frame))
    floor.timetable.run_until(START_MS + 2_050)
    assert best_bid(floor) == 500_000
    assert len(shown) == 1
    assert max(shown[0][1]) == 500_000  # 0.30 + 0.20


def test_a_window_is_found_by_everything_it_is_known_by():
    listing = Floor().exchange.listing
    market = listing.by_slug[WINDOW.slug]
    assert listing.markets == {WINDOW.condition_id: market}
    assert listing.by_token == {WINDOW.up_token: (market, True), WINDOW.down_token: (market, False)}


def relisted(floor):
    """List the window once more, as the world's next one would be."""
    listing = floor.exchange.listing
    listing._listed = 0
    for known in (listing.markets, listing.by_slug, listing.by_token):
        known.clear()
    listing.look(floor.now_ms)
    return listing


def test_hidden_tokens_are_known_to_gamma_first_and_to_the_clob_later():
    floor = Floor()
    floor.faults.arm("hidden_tokens", match={"asset": "btc"}, seconds=2)
    listing = relisted(floor)
    assert (list(listing.by_slug), listing.by_token) == ([WINDOW.slug], {})
    assert floor.post().body == {"error": NOT_READY}
    floor.pass_ms(2_000)
    assert set(listing.by_token) == {WINDOW.up_token, WINDOW.down_token}
    assert floor.post().body["status"] == "matched"


def test_a_protocol_v2_market_has_position_ids_that_begin_with_its_condition():
    window = as_protocol_v2(WINDOW)
    up_token, down_token, condition = (
        int(window.up_token),
        int(window.down_token),
        int(window.condition_id, 16),
    )
    assert (up_token ^ down_token, up_token >> 8) == (1, condition >> 8)
    assert up_token & (((1 << 64) - 1) << 40) == 0  # what tells a position id from a token id
    assert (condition & 0xFF, up_token >> 248, len(window.condition_id)) == (0, 1, 66)


def test_a_protocol_v2_market_takes_orders_signed_for_its_own_exchange_only():
    floor = Floor()
    floor.faults.arm("protocol_v2")
    relisted(floor)
    token = as_protocol_v2(WINDOW).up_token
    assert floor.post(tokenId=token).body == {"error": "order_version_mismatch"}
    v3 = ("3", "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa")
    assert floor.post(tokenId=token, domain=v3).body["status"] == "matched"


def test_a_window_is_listed_once():
    floor = Floor()
    floor.pass_ms(5_000)
    assert floor.heard.events.count(("listed", WINDOW.slug)) == 1


def test_the_timetable_keeps_order_and_wakes_for_what_is_earlier():
    timetable, done, woken = Timetable(), [], []
    timetable.on_earlier = lambda: woken.append(1)
    timetable.at(20, lambda when: done.append(("b", when)))
    timetable.at(30, lambda when: done.append(("never", when)))
    timetable.at(
        10, lambda when: (done.append(("a", when)), timetable.at(12, lambda later: done.append(("c", later))))
    )
    timetable.at(20, lambda when: done.append(("b2", when)))
    assert len(woken) == 2
    timetable.run_until(25)
    assert done == [("a", 10), ("c", 12), ("b", 20), ("b2", 20)]
    assert timetable.next_ms() == 30
