from decimal import Decimal

import pytest
import typer

from services.operator.console import in_book, parse_usdc


@pytest.mark.parametrize("text", ["1.0000001", "ten", "NaN", "inf", ""])
def test_an_amount_that_is_not_whole_micro_units_is_refused(text: str):
    with pytest.raises(typer.BadParameter):
        parse_usdc(text)


def test_an_amount_is_taken_exactly():
    assert parse_usdc("-0.000001") == Decimal("-0.000001")


def test_a_bug_is_not_taken_for_a_refusal(monkeypatch: pytest.MonkeyPatch, database_url: str):
    monkeypatch.setenv("DATABASE_URL", database_url)

    async def broken(_database: object) -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        in_book(broken)


def test_an_unreachable_book_ends_with_status_one_and_no_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("DATABASE_URL", "postgresql://operator:s3cr3tword@127.0.0.1:1/book")
    monkeypatch.setattr("shared.db.engine.CONNECT_TRIES_APART_S", 0.0)

    async def never(_database: object) -> None:
        raise AssertionError("nothing to act on")

    with pytest.raises(typer.Exit) as ended:
        in_book(never)
    assert ended.value.exit_code == 1
    said = capsys.readouterr()
    assert "s3cr3tword" not in said.err + said.out
    assert "127.0.0.1:1" in said.err


def test_a_malformed_address_ends_with_status_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("DATABASE_URL", "s3cr3tword")
    with pytest.raises(SystemExit) as ended:
        in_book(lambda database: database.check())
    assert ended.value.code == 2
    assert "s3cr3tword" not in capsys.readouterr().err
