from pathlib import Path

import pytest

from deploy.local.demo_course import SETTLED_WITHIN_S
from deploy.local.demo_options import OptionInvalid, read_options
from shared.domain.modes import Mode


def read(*arguments: str, is_terminal: bool = True, **environment: str):
    return read_options(arguments, environment, is_terminal=is_terminal)


def test_without_a_word_it_trades_paper_until_ctrl_c():
    options = read()
    assert (
        options.windows,
        options.mode,
        options.headless,
        options.summary,
        options.seed,
        options.source,
    ) == (
        0,
        Mode.PAPER,
        False,
        None,
        1,
        "sample",
    )


def test_makes_variables_are_taken_and_its_empty_ones_are_not():
    options = read(WINDOWS="3", MODE=" live ", HEADLESS="1", SUMMARY="s.json", SEED="", SOURCE="")
    assert options.windows == 3
    assert options.mode is Mode.LIVE
    assert options.headless
    assert options.summary == Path("s.json")
    assert options.seed == 1


def test_the_command_line_wins_over_the_environment():
    assert read("--windows", "2", WINDOWS="3").windows == 2


def test_without_a_terminal_it_prints_lines():
    assert read(is_terminal=False).headless
    assert not read(HEADLESS="0").headless


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("MODE", "BACKTEST", "PAPER, DRY_RUN or LIVE"),
        ("MODE", "real", "PAPER, DRY_RUN or LIVE"),
        ("WINDOWS", "-1", "between 0 and"),
        ("WINDOWS", "many", "whole number"),
        ("SEED", "1.5", "whole number"),
        ("WINDOW_S", "5", "between 60 and"),
        ("DASHBOARD_PORT", "70000", "between 0 and"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(variable: str, text: str, says: str):
    with pytest.raises(OptionInvalid, match=f"{variable} must be .*{says}"):
        read(**{variable: text})


def test_three_windows_may_not_take_eight_minutes():
    setting_up_and_ending_s = 40
    assert read(WINDOWS="3").trading_limit_s + SETTLED_WITHIN_S + setting_up_and_ending_s <= 8 * 60
