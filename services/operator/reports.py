"""What a person looks at: how things stand, what became of an order, what is wrong."""

import tomllib
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from alembic.config import Config
from alembic.script import ScriptDirectory
from rich.table import Table
from rich.text import Text

from services.operator import actions, doctor, queries
from services.operator.console import fail, in_book, say, say_data, screen
from services.operator.doctor import Reading
from services.operator.explain import chain
from services.operator.explain.queries import read_chain, read_legs, read_subject, read_ticks, read_verdict
from services.operator.tables import status_page
from shared.db.engine import Database, Tx
from shared.domain.preflight import Finding
from shared.runtime.clock import SystemClock
from shared.strategies.loader import load

_ROOT = Path(__file__).resolve().parents[2]

AsJson = Annotated[bool, typer.Option("--json", help="for a program; money is text")]


def status(
    orders: Annotated[int, typer.Option(min=0, help="how many of the newest orders")] = 10,
    events: Annotated[int, typer.Option(min=0, help="how many of the newest events")] = 12,
) -> None:
    """Show accounts, gates, open positions, newest orders and events, and who is alive."""

    async def read(tx: Tx) -> list[Table]:
        return status_page(
            await queries.list_states(tx),
            await queries.list_open_positions(tx),
            await queries.list_newest_orders(tx, limit=orders),
            await queries.list_heartbeats(tx),
            await queries.list_newest_events(tx, limit=events),
        )

    for table in in_book(lambda database: database.retry_read(read)):
        screen().print(table, "")


def explain(
    order: Annotated[
        str,
        typer.Argument(
            metavar="ORDER", help="an order's id or its beginning; or a signal's or position's id"
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Tell one trade from the ticks it was decided on to its profit or loss, to the millisecond."""
    if not order.strip():
        raise typer.BadParameter("name an order: `status` lists the newest")

    async def read(tx: Tx) -> list[str] | chain.Story:
        found = await queries.find_orders(tx, order.strip())
        if not found or (len(found) > 1 and order.startswith("0x")):
            return [str(each) for each in found]
        subject = await read_subject(tx, found[0])
        happenings = [*await read_ticks(tx, subject), *await read_chain(tx, subject)]
        return chain.tell(subject, happenings, await read_verdict(tx, subject), await read_legs(tx, subject))

    story = in_book(lambda database: database.retry_read(read))
    if isinstance(story, list):
        fail(
            f"{order} may be any of: {', '.join(story)}"
            if story
            else f"the Book has no order {order}; `status` lists the newest"
        )
    elif as_json:
        say_data(chain.as_data(story))
    else:
        screen().print(chain.render(story))


def strategies() -> None:
    """List the strategies of the folder, which are refused and why, and who runs what."""
    loaded = load()
    for name, each in loaded.strategies.items():
        declaration = each.declaration
        say(
            f"{name}  version {declaration.version}, code {each.code_hash[:12]}, enters between"
            f" {declaration.entry_from:.3f} and {declaration.entry_until:.3f} of a window\n  {declaration.hypothesis}"
        )
    for instance in in_book(lambda database: database.retry_read(queries.list_instances)):
        state = "enabled" if instance.enabled else "DISABLED"
        say(
            f"{instance.account} runs {instance.strategy} as {instance.instance_id}: {state},"
            f" code {instance.code_hash[:12]}, {instance.signals} signals"
        )
    if loaded.refused:
        fail("\n".join(f"{module} is refused: {why}" for module, why in loaded.refused.items()))


def partitions(
    days_ahead: Annotated[int, typer.Option(min=0, max=60, help="days of ticks to make room for")] = 7,
    keep_days: Annotated[int, typer.Option(min=1, max=3650, help="days of ticks to keep")] = 7,
) -> None:
    """Make the days ahead of the tick tables and drop those past retention."""
    made = in_book(partial(actions.ensure_partitions, days_ahead=days_ahead))
    dropped = in_book(partial(actions.drop_partitions, keep_days=keep_days))
    say(
        f"{made} made for today and {days_ahead} days ahead; {len(dropped)} dropped {' '.join(dropped)}".strip()
    )


def health() -> None:
    """Say of every service whether it is alive and fit; fails unless all are."""
    beats = in_book(lambda database: database.retry_read(queries.list_heartbeats))
    report(list(doctor.services_found(beats)))


def diagnose() -> None:
    """Find what is wrong with this deployment and say what to do; fails unless all is well."""
    report(doctor.examine(in_book(_examination)))


async def _examination(database: Database) -> Reading:
    clock = SystemClock()
    await (
        database.check()
    )  # the first round trip pays for the connection, and must not look like a clock gone wrong
    asked = clock.now()
    ground = await database.retry_read(queries.read_ground)
    half = (clock.now() - asked) / 2
    return Reading(
        ground=ground,
        own_now=asked + half,
        head=_newest_migration(),
        code=tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["version"],
        offsets_ms=await database.retry_read(queries.list_clock_offsets),
        heartbeats=await database.retry_read(queries.list_heartbeats),
        states=await database.retry_read(queries.list_states),
        epoch=await database.retry_read(queries.newest_epoch),
        proofs=await actions.prove(database),
    )


def _newest_migration() -> str:
    head = ScriptDirectory.from_config(Config(_ROOT / "alembic.ini")).get_current_head()
    assert head is not None
    return head


def report(findings: list[Finding]) -> None:
    """Show every finding, and end with status 1 when one is not good."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        table.add_column()
    for each in findings:
        mark = Text("ok", style="green") if each.ok else Text("WRONG", style="bold red")
        table.add_row(mark, each.check, each.found if each.ok else f"{each.found}\n→ {each.advice}")
    screen().print(table)
    wrong = sum(not each.ok for each in findings)
    if wrong:
        fail(f"{wrong} of {len(findings)} checks failed")
