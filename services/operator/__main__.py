"""Wiring of the command line: python -m services.operator --help."""

import typer

from services.operator import reports, switches
from services.operator.accounts import account_app, session_app
from services.operator.canary.command import canary_app
from services.operator.capture.gaps import check_gaps
from services.operator.capture.plotting import window_page
from services.operator.capture.replaying import replay_batches
from services.operator.orders.commands import adopt, cancel, unknown
from services.operator.preflight import preflight
from services.operator.switches import breaker_app, control_app

app = typer.Typer(
    name="operator",
    help="Look at the Book, stop and start trading, and answer for it. Needs DATABASE_URL as onebook_operator.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    reports.status,
    switches.pause,
    switches.resume,
    switches.flatten,
    switches.emergency,
    reports.explain,
    reports.health,
    reports.strategies,
    reports.partitions,
    replay_batches,
    check_gaps,
    window_page,
    preflight,
    cancel,
    unknown,
    adopt,
):
    app.command()(command)
app.command("doctor")(reports.diagnose)
app.add_typer(account_app, name="account")
app.add_typer(session_app, name="session")
app.add_typer(breaker_app, name="breaker")
app.add_typer(control_app, name="control")
app.add_typer(canary_app, name="canary")

if __name__ == "__main__":
    app()
