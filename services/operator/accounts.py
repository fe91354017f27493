"""Accounts, their money from outside, their sessions."""

from decimal import Decimal
from functools import partial
from typing import Annotated

import typer

from services.operator import actions
from services.operator.actions import Person
from services.operator.console import By, ModeOption, Reason, fail, in_book, parse_usdc, say
from services.operator.queries import list_states
from shared.domain.ids import AccountId
from shared.venue.paper import paper_address

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="the account's id")]
Amount = Annotated[
    Decimal, typer.Argument(parser=parse_usdc, metavar="USDC", help="dollars, six decimals at most")
]
Reference = Annotated[
    str,
    typer.Option("--reference", metavar="TEXT", help="names the movement: the same one is booked only once"),
]

_SIGNED = {"ignore_unknown_options": True}
"""Lets -5 be an amount instead of an option nobody knows."""

account_app = typer.Typer(no_args_is_help=True, help="Open accounts, book what came and went, list them.")
session_app = typer.Typer(no_args_is_help=True, help="Open and close trading sessions.")


@account_app.command("open")
def open_account(
    account: Account,
    wallet: Annotated[str | None, typer.Option(help="address that holds the money in LIVE")] = None,
) -> None:
    """Open an account with its gate, limits and balances in every mode."""
    new = in_book(
        partial(
            actions.open_account,
            account=AccountId(account),
            paper_wallet=paper_address(AccountId(account)),
            wallet=wallet,
        )
    )
    say(f"account {account} is open" if new else f"account {account} was open already")


@account_app.command("fund", context_settings=_SIGNED)
def fund(
    account: Account, amount: Amount, *, mode: ModeOption, reference: Reference, by: By, reason: Reason
) -> None:
    """Book a deposit (a negative amount: a withdrawal) that happened outside trading."""
    if amount == 0:
        raise typer.BadParameter("nothing to book")
    booked = in_book(
        partial(
            actions.fund,
            account=AccountId(account),
            mode=mode,
            amount_usdc=amount,
            reference=reference,
            person=Person(by, reason),
        )
    )
    if not booked:
        fail(f"{reference} was booked before; nothing was changed")
    say(f"booked {amount:f} USDC to {account} in {mode} as {reference}")


@account_app.command("correct", context_settings=_SIGNED)
def correct(
    account: Account,
    amount: Amount,
    *,
    mode: ModeOption,
    reference: Reference,
    by: By,
    reason: Reason,
    book: Annotated[
        bool, typer.Option("--book", help="really book it; without this it is only shown")
    ] = False,
) -> None:
    """Show what a correction of CASH would book; with --book, book it."""
    say(
        in_book(
            partial(
                actions.correct,
                account=AccountId(account),
                mode=mode,
                amount_usdc=amount,
                reference=reference,
                person=Person(by, reason),
                dry_run=not book,
            )
        )
    )


@account_app.command("list")
def list_accounts() -> None:
    """List accounts with their money, one line a mode."""
    states = in_book(lambda database: database.retry_read(list_states))
    if not states:
        say("no account has money yet: open one with `account open`, then `account fund`")
    for state in states:
        say(
            f"{state.account} {state.mode}: cash {state.cash:f}, deposited {state.deposited:f},"
            f" net {state.net_pnl:+f} USDC"
        )


@session_app.command("open")
def open_session(account: Account, mode: ModeOption, by: By) -> None:
    """Close the running session and open one that lasts until a person closes it."""
    opened = in_book(partial(actions.open_session, account=AccountId(account), mode=mode, operator=by))
    say(f"session {opened} of {account} in {mode} is open")


@session_app.command("close")
def close_session(account: Account, mode: ModeOption, by: By) -> None:
    """Close the running session; the next entry opens the day's own."""
    if not in_book(partial(actions.close_session, account=AccountId(account), mode=mode, operator=by)):
        fail(f"{account} has no session open in {mode}")
    say(f"the session of {account} in {mode} is closed")
