from decimal import Decimal
from random import Random

from services.simulator.story import LevelSizes, complement, drawn_size, flat_frame


def test_a_seeded_ladder_goes_cent_by_cent_to_the_edge_and_keeps_its_sizes() -> None:
    sizes = LevelSizes("seed")
    asks = sizes.ladder("ask", Decimal("0.97"), Decimal(50))
    assert [price for price, _ in asks] == [Decimal("0.97"), Decimal("0.98"), Decimal("0.99")]
    assert asks[0][1] == 50
    again = sizes.ladder("ask", Decimal("0.96"), Decimal(1))
    assert again[2:] == asks[1:]


def test_a_best_size_nobody_recorded_is_drawn() -> None:
    ((_, size), *_) = LevelSizes("seed").ladder("bid", Decimal("0.50"), Decimal(0))
    assert size >= 5


def test_bids_fall_and_a_flat_book_stands_around_one_half() -> None:
    bids, asks = flat_frame("seed", 0)
    assert (bids[0][0], asks[0][0]) == (Decimal("0.49"), Decimal("0.51"))
    assert [price for price, _ in bids] == sorted((price for price, _ in bids), reverse=True)
    later, _ = flat_frame("seed", 1)
    assert later[0] != bids[0]
    assert later[1:] == bids[1:]


def test_the_complement_of_the_complement_is_the_ladder() -> None:
    bids, _ = flat_frame("seed", 0)
    assert complement(complement(bids)) == bids
    assert complement(bids)[0][0] == Decimal("0.51")


def test_no_size_is_below_the_smallest_order() -> None:
    assert all(drawn_size(Random(seed), 6.0, 2.0) >= 5 for seed in range(200))
