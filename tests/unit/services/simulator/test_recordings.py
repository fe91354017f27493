from pathlib import Path

import pytest

from services.simulator import recordings
from services.simulator.recordings import READERS, RecordingMissing, read_sample, read_set
from tests.recordings import recorded_sets

WHOLE = {
    "bbo_btc15m_20260101": (32, 20),
    "bbo_btc15m_20260401": (2, 0),
    "bbo_binance_btc5m_20260225": (20, 13),
    "book_l2_btc5m_20260416": (16, 7),
    "chainlink_quote_btc5m_20260707": (12, 6),
}


@pytest.fixture(scope="module")
def root() -> Path:
    return recorded_sets(
        "that the recorded sets replay whole, so a demo of theirs could show markets that never were"
    )


def test_the_sample_has_its_two_whole_windows_the_newest_first() -> None:
    found = read_sample(every_s=0.75)
    assert [(window.epoch, window.duration_s, window.winner) for window in found] == [
        (1775030400, 900, "DOWN"),
        (1775029500, 900, "DOWN"),
    ]
    assert all(len(window.books) > 500 for window in found)


def test_a_sample_that_is_not_installed_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "SAMPLE_PACKAGE", "no_such_package")
    with pytest.raises(RecordingMissing, match="uv sync --group recordings"):
        read_sample()


def test_a_set_that_is_missing_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(RecordingMissing, match="set ONEBOOK_RECORDINGS"):
        read_set(None, "bbo_btc15m_20260101")
    with pytest.raises(RecordingMissing, match="set ONEBOOK_RECORDINGS"):
        read_set(tmp_path, "bbo_btc15m_20260101")
    with pytest.raises(RecordingMissing, match="choose one of"):
        read_set(tmp_path, "ladder_binance_btc5m_20260726")


@pytest.mark.parametrize("name", sorted(READERS))
def test_every_set_gives_its_whole_windows(root: Path, name: str) -> None:
    found = read_set(root, name, every_s=1.0)
    assert (len(found), sum(window.winner == "UP" for window in found)) == WHOLE[name]
    assert [window.epoch for window in found] == sorted(window.epoch for window in found)


def test_the_official_result_is_believed_where_binance_shows_another(root: Path) -> None:
    # README of the set: these two settled on Chainlink against Binance's direction.
    found = {window.epoch: window for window in read_set(root, "bbo_binance_btc5m_20260225")}
    for epoch in (1772029800, 1772030400):
        assert found[epoch].winner == "DOWN"
        assert found[epoch].binance[-1][1] > 0


def test_the_deep_recording_keeps_its_eight_levels(root: Path) -> None:
    window = read_set(root, "book_l2_btc5m_20260416", every_s=1.0)[0]
    assert len(window.books[10].bids) == 8


def test_the_recorded_chainlink_price_begins_near_its_strike(root: Path) -> None:
    for window in read_set(root, "chainlink_quote_btc5m_20260707"):
        assert abs(window.reference[0][1]) < 5e-4
