"""The root of the `byom` command: global flags, and the list of commands."""

from importlib.metadata import version
from typing import Annotated

import typer

from workers.cli import (
    account,
    audit,
    backfill,
    config_file,
    connection,
    credential,
    dead,
    demo,
    doctor,
    economy,
    enqueue,
    events,
    flower,
    health,
    lanes,
    limits,
    models,
    producer,
    project,
    result,
    schema,
    simulator,
    store,
    up,
    usage,
    verify,
    webhook,
    worker,
)
from workers.cli.console import out
from workers.cli.context import put_flags
from workers.cli.errors import ErrorBoundary
from workers.cli.examples import examples

EXAMPLES = examples(
    "byom demo",
    "byom up",
    "byom connection add --project acme --provider openai --model gpt-6-luna --key-env OPENAI_API_KEY",
    "byom enqueue examples/conversations.jsonl --project acme --wait",
    notes="""
[bold]Configuration[/]
  Flags beat the environment (BYOM_*), which beats byom.toml in this directory.
  A password belongs in BYOM_BROKER_URL, never on the command line.

[bold]Exit codes[/]
  0    all went well (warnings allowed)
  1    the command ran, but jobs or checks failed, or a wait timed out
  2    the command line, the settings or the input do not fit; nothing was done
  3    the broker, the store or a provider cannot be reached
  130  interrupted with Ctrl-C
""",
)

app = typer.Typer(
    name="byom",
    cls=ErrorBoundary,
    help="Turn conversations and documents into memories, with each project's own LLM credentials.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    # A traceback with local variables could show a credential.
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(f"byom {version('byom-workers')}")
        raise typer.Exit


@app.callback()
def root(
    broker_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Redis or Valkey that carries the queues, in place of BYOM_BROKER_URL.",
            show_default=False,
        ),
    ] = None,
    store_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where connections and credentials are kept, in place of BYOM_STORE_URL.",
            show_default=False,
        ),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Put the global flags where settings are read."""
    put_flags(broker_url=broker_url, store_url=store_url)


app.command(epilog=demo.EXAMPLES)(demo.demo)
app.command(epilog=up.EXAMPLES)(up.up)
app.command(epilog=worker.EXAMPLES)(worker.worker)
app.command(epilog=flower.EXAMPLES)(flower.flower)
app.command(epilog=health.EXAMPLES)(health.health)
app.command(epilog=enqueue.EXAMPLES)(enqueue.enqueue)
app.command(epilog=result.EXAMPLES)(result.result)
app.add_typer(backfill.app, name="backfill")
app.add_typer(usage.app, name="usage")
app.command(epilog=events.EXAMPLES)(events.events)
app.add_typer(webhook.app, name="webhook")
app.command(epilog=doctor.EXAMPLES)(doctor.doctor)
app.add_typer(connection.app, name="connection")
app.add_typer(credential.app, name="credential")
app.add_typer(producer.app, name="producer")
app.add_typer(audit.app, name="audit")
app.add_typer(account.app, name="account")
app.add_typer(store.app, name="store")
app.add_typer(lanes.app, name="lanes")
app.add_typer(economy.app, name="economy")
app.add_typer(dead.app, name="dead")
app.add_typer(project.app, name="project")
app.add_typer(config_file.app, name="config")
app.command(epilog=verify.EXAMPLES)(verify.verify)
app.add_typer(limits.app, name="limits")
app.add_typer(models.app, name="models")
app.command(epilog=schema.EXAMPLES)(schema.schema)
app.command(epilog=simulator.EXAMPLES)(simulator.simulator)


def main() -> None:
    """Entry point of the `byom` script."""
    app()
