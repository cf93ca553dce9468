"""`byom flower`: Flower with the pages of usage, providers and lanes, in the foreground."""

import os
from pathlib import Path
from typing import Annotated

import typer

from config.settings import load_settings
from workers.cli.console import err
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.monitoring.access import AccessRefused, choose_access

EXAMPLES = examples(
    "byom flower",
    "byom flower --port 8080 --basic-auth-file /run/secrets/flower",
    "BYOM_FLOWER_AUTH=ada:$PASSWORD byom flower --address 0.0.0.0",
    notes="Without a login of your own one is made up and printed. Flower's other options are variables such as\n"
    "FLOWER_PERSISTENT, FLOWER_URL_PREFIX or FLOWER_AUTH (OAuth); see Flower's documentation.",
)


def flower(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on.", show_default="5555")] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Address to listen on; one that others can reach needs a login.", show_default="127.0.0.1"),
    ] = None,
    basic_auth_file: Annotated[
        Path | None, typer.Option(help="File with one USER:PASSWORD a line.", dir_okay=False, show_default=False)
    ] = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="No login; on this machine only.")] = False,
    max_tasks: Annotated[
        int | None, typer.Option(min=100, help="Tasks to remember; bounds memory.", show_default="20000")
    ] = None,
    open_metrics: Annotated[
        bool, typer.Option("--open-metrics", help="Let everybody read /metrics who can reach it.")
    ] = False,
) -> None:
    """Run Flower: tasks and workers, usage, providers and lanes, and metrics for Prometheus."""
    # Flower and Tornado are only needed here.
    from workers.monitoring import process  # noqa: PLC0415 - as said

    settings = load_settings()
    try:
        listening = process.Listening.of(os.environ, port=port, address=address, max_tasks=max_tasks)
        access = choose_access(
            address=listening.address,
            file=basic_auth_file,
            setting=settings.flower_auth,
            environ=os.environ,
            without=no_auth,
        )
    except (AccessRefused, ValueError) as error:
        raise CommandError(str(error), code=ExitCode.USAGE) from error
    if access.made_up:
        user, _, password = access.logins[0].partition(":")
        err.print(
            f"Login: user [bold]{user}[/], password [bold]{password}[/] (made up; BYOM_FLOWER_AUTH sets your own)"
        )
    try:
        process.run_flower(settings, listening, access, open_metrics=open_metrics)
    except OSError as error:
        message = f"cannot listen on {listening.address} port {listening.port}: {error.strerror}; choose another --port"
        raise CommandError(message, code=ExitCode.USAGE) from error
