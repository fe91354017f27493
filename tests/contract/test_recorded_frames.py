"""Every recorded frame is read or refused by name; broken ones too; books rebuilt from changes are the venue's.

The recordings carry no licence to publish, so they are not in this repository: ONEBOOK_RECORDINGS names their folder.
"""

from collections import Counter

import pytest

from shared.venue.refusals import Refusal
from tests.contract.mutated_frames import chosen, mutate
from tests.contract.rebuilt_books import rebuild_from_differences, rebuild_sessions
from tests.contract.recorded_frames import EARS, Frame, recorded_frames
from tests.recordings import recorded_sets

QUICK_COUNT = 6_000
UNASKED = {"Binance says 'depthUpdate'", "Binance says '?'"}
"""Binance's depth and Coinbase: recorded, and asked for by nobody."""


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    folder = recorded_sets(
        "that no real frame, whole or broken, can end the collector and leave a user without prices"
    )
    return list(recorded_frames(folder))


def test_every_recorded_frame_is_read_or_refused_by_name(frames):
    """Run with -s to see the counts."""
    read, refused, raw = Counter(), Counter(), Counter()
    for frame in frames:
        try:
            EARS[frame.ear](frame.text)
            read[frame.ear] += 1
        except Refusal as refusal:
            refused[f"{frame.ear}: {refusal.kind}: {frame.origin}"] += 1
            if frame.origin.startswith(("raw_", "btcusdt", "ethusdt")):
                raw[str(refusal)] += 1
    print(
        f"read {read.total()}: {dict(read)}", *(f"refused {n}: {why}" for why, n in refused.items()), sep="\n"
    )
    assert read["market"] > 800
    assert read["rtds"] > 100
    assert read["binance"] > 30_000
    assert read["pyth"] >= 12
    assert set(raw) == UNASKED
    kinds = {why.split(": ")[1] for why in refused}
    assert kinds <= {
        "Malformed",
        "UnknownWord",
        "Rejected",
        "UnknownFeeType",
        "UnknownRule",
        "UnknownVersion",
    }


def test_broken_frames_raise_nothing_but_refusals(frames):
    tally = mutate(chosen(frames), count=QUICK_COUNT, seed=20261120)
    assert tally.untyped == []
    assert tally.broken == QUICK_COUNT
    assert tally.read > QUICK_COUNT / 20
    assert tally.refused.total() > QUICK_COUNT / 2


def test_one_seed_breaks_the_same_frames_again(frames):
    picked = chosen(frames)
    first, again = (mutate(picked, count=200, seed=5).as_json() for _ in range(2))
    assert first == again != mutate(picked, count=200, seed=6).as_json()


def test_a_parser_that_raises_something_else_is_found(frames, monkeypatch):
    def careless(text):
        return float(text)

    monkeypatch.setattr("tests.contract.mutated_frames.EARS", {**EARS, "market": careless})
    picked = [frame for frame in chosen(frames) if frame.ear == "market"]
    assert len(mutate(picked, count=20, seed=1).untyped) == 20


def test_books_rebuilt_from_recorded_changes_are_the_next_recorded_snapshot_or_read_anew(frames):
    tally = rebuild_sessions(frames)
    print(tally)
    assert tally["contradicted"] == 0
    assert tally["matched"] > 50
    assert tally["resynced"] > 0


def test_books_rebuilt_from_the_differences_of_recorded_snapshots_are_those_snapshots(frames):
    tally = rebuild_from_differences(frames, lose_every=None)
    print(tally)
    assert tally["matched"] > 500
    assert tally["contradicted"] == tally["doubted"] == 0


def test_a_lost_change_is_noticed_when_it_moved_the_best_price_and_not_before(frames):
    """The venue's best prices are all that is compared: a loss behind them shows with the next snapshot only."""
    tally = rebuild_from_differences(frames, lose_every=7)
    print(tally)
    assert tally["doubted"] > 5
    assert tally["contradicted"] > 0
