"""What stops and starts trading: the kill switch, the breaker, the controls."""

from functools import partial
from typing import Annotated

import typer
from rich.table import Table

from services.operator import actions, queries
from services.operator.accounts import Account
from services.operator.actions import Person
from services.operator.console import By, ModeOption, Reason, fail, in_book, say, screen
from services.operator.direct import cancel_everything
from shared.domain.breaker import KillSwitch
from shared.domain.controls import ControlInvalid, normalise
from shared.domain.ids import AccountId

Accounts = Annotated[
    list[str] | None,
    typer.Option("--account", metavar="ACCOUNT", help="only this one; may be repeated; by default all"),
]

breaker_app = typer.Typer(no_args_is_help=True, help="Trip and reset the circuit breaker.")
control_app = typer.Typer(no_args_is_help=True, help="List and set the runtime controls.")


def pause(by: By, reason: Reason, account: Accounts = None) -> None:
    """Take no new entries; exits go on."""
    _throw(KillSwitch.PAUSE, account, Person(by, reason))


def resume(by: By, reason: Reason, account: Accounts = None) -> None:
    """Take entries again. The breaker is another thing: see `breaker reset`."""
    _throw(KillSwitch.OFF, account, Person(by, reason))


def flatten(by: By, reason: Reason, account: Accounts = None) -> None:
    """Sell every open position at a bounded price, and take no new entries."""
    _throw(KillSwitch.FLATTEN, account, Person(by, reason))


def emergency(
    by: By,
    reason: Reason,
    account: Accounts = None,
    direct: Annotated[
        bool,
        typer.Option(
            "--direct", help="only cancel at the venue, without the Book; needs ACCOUNT_CREDENTIALS"
        ),
    ] = False,
) -> None:
    """Cancel everything and sell every open position at any price, and take no new entries."""
    if direct:
        cancel_everything(account or [])
        return
    _throw(KillSwitch.EMERGENCY, account, Person(by, reason))


def _throw(switch: KillSwitch, accounts: list[str] | None, person: Person) -> None:
    before = in_book(
        partial(
            actions.throw_switch,
            accounts=[AccountId(name) for name in accounts or ()],
            switch=switch,
            person=person,
        )
    )
    if not before:
        fail("there is no account yet: open one with `account open`")
    for name, was in before.items():
        say(f"{name}: kill switch {was} → {switch}")


@breaker_app.command("trip")
def trip(account: Account, mode: ModeOption, by: By, reason: Reason) -> None:
    """Open the breaker: no entry goes out until an operator resets it."""
    tripped = in_book(partial(actions.trip, account=AccountId(account), mode=mode, person=Person(by, reason)))
    say(f"the breaker of {account} in {mode} {'is now OPEN' if tripped else 'was OPEN already'}")


@breaker_app.command("reset")
def reset(account: Account, mode: ModeOption, by: By, reason: Reason) -> None:
    """Close the breaker; refused while an order may be live or Unknown."""
    in_book(partial(actions.reset, account=AccountId(account), mode=mode, person=Person(by, reason)))
    say(f"the breaker of {account} in {mode} is CLOSED")


@control_app.command("list")
def list_controls(account: Account) -> None:
    """List every control of an account: what it is, who set it, what it means."""
    controls = in_book(
        lambda database: database.retry_read(partial(queries.list_controls, account=AccountId(account)))
    )
    table = Table(box=None, pad_edge=False)
    for column in ("control", "value", "set by", "why", "meaning"):
        table.add_column(column)
    for control in controls:
        table.add_row(
            control.key,
            control.value or "(none)",
            control.set_by or "default",
            control.reason or "",
            control.meaning,
        )
    screen().print(table)


@control_app.command("set")
def set_control(
    account: Account,
    key: Annotated[str, typer.Argument(metavar="CONTROL")],
    value: Annotated[str, typer.Argument(metavar="VALUE")],
    by: By,
    reason: Reason,
) -> None:
    """Set one control; the Book refuses what is out of its bounds."""
    try:
        lawful = normalise(key, value)
    except ControlInvalid as invalid:
        raise typer.BadParameter(str(invalid)) from None
    before = in_book(
        partial(
            actions.set_control,
            account=AccountId(account),
            key=key,
            value=lawful,
            person=Person(by, reason),
        )
    )
    say(f"{account}: {key} {before or '(none)'} → {lawful or '(none)'}")
