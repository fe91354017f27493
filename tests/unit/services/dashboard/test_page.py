"""The page and its data fit together: every figure has a place, every place exists."""

import dataclasses
import re

import pytest

from services.dashboard.api.app import PAGE
from services.dashboard.api.capture.schemas import (
    CaptureScreen,
    ClockScreen,
    FeedScreen,
    GapScreen,
    PoolScreen,
    Settled,
    SnapshotScreen,
    TaintScreen,
    TokenCheck,
    Waiting,
    WindowShare,
)
from services.dashboard.api.schemas import Overview

SCRIPT = (PAGE / "page.js").read_text()
HTML = (PAGE / "index.html").read_text()
SCREENS = (
    Overview,
    CaptureScreen,
    FeedScreen,
    WindowShare,
    SnapshotScreen,
    GapScreen,
    ClockScreen,
    Settled,
    TokenCheck,
    TaintScreen,
    PoolScreen,
    Waiting,
)
SAID_OTHERWISE = {"FeedScreen.ticks", "GapScreen.started_at"}
"""By the rate of the ticks, and by how long the gap lasts."""
FIGURES = [
    f"{screen.__name__}.{field.name}"
    for screen in SCREENS
    for field in dataclasses.fields(screen)
    if f"{screen.__name__}.{field.name}" not in SAID_OTHERWISE
]


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_has_a_place_on_the_page(figure: str):
    assert re.search(rf"\.{figure.partition('.')[2]}\b", SCRIPT)


def test_every_place_the_script_fills_is_on_the_page():
    wanted = set(re.findall(r"""(?:\$|rows)\("([a-z]+)\"""", SCRIPT))
    there = set(re.findall(r'id="([a-z]+)"', HTML))
    assert wanted
    assert wanted <= there


@pytest.mark.parametrize("table", ["positions", "orders", "feeds"])
def test_a_table_without_rows_says_so_across_all_its_columns(table: str):
    (head,) = re.findall(rf'<table id="{table}"><thead>(.*?)</thead>', HTML)
    (columns,) = re.findall(rf'rows\("{table}", .*, (\d+), "', SCRIPT)
    assert head.count("<th") == int(columns)
