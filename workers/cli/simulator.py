"""`byom simulator`: the provider simulator as a server of its own."""

import os
from typing import Annotated

import typer

from workers.cli.console import JsonFlag, err, out, print_json
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.embedded.simulator import Latency, Options, Simulator, serve

EXAMPLES = examples(
    "byom simulator",
    "byom simulator --port 9000 --latency 0.5",
    "byom connection add -p acme --provider openai_compatible --model any --base-url http://127.0.0.1:9000/compatible/v1",
    notes="Its answers are rule-based, not a model's. Any key is taken. Ctrl-C stops it.",
)


def simulator(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 9000,
    latency: Annotated[float, typer.Option(min=0, help="Seconds that each answer takes.")] = 0.2,
    as_json: JsonFlag = False,
) -> None:
    """Run a local server that stands in for the LLM providers."""

    def announce(running: Simulator) -> None:
        if as_json:
            print_json({"url": running.url, "base_urls": running.base_urls})
            return
        out.print("Simulated providers; answers are rule-based. Base URLs:")
        for vendor, url in running.base_urls.items():
            out.print(f"  {vendor:<12} {url}")
        err.print("Ctrl-C stops it.")

    try:
        serve(host, port, options=Options(latency=Latency.fixed(latency)), ready=announce)
    except OSError as error:
        # What the event loop makes of it repeats the address.
        reason = os.strerror(error.errno) if error.errno else error.strerror
        message = f"cannot listen on {host} port {port}: {reason}; choose others with --host and --port"
        raise CommandError(message, code=ExitCode.USAGE) from error
