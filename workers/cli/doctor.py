"""`byom doctor`: looks at everything that must be right, and says the mend for what is not."""

import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import httpx
import redis
import typer
from rich.markup import escape

from config.catalogue import load_catalogue
from config.connections import list_projects
from config.errors import SettingsError
from config.settings import Settings, load_settings
from config.store import ParameterStore
from tasks.contract import ProviderKind
from workers.app import create_app
from workers.cli.checks import Check, Status
from workers.cli.checks.base import fail, ok
from workers.cli.checks.broker import check_broker, check_results
from workers.cli.checks.consumers import check_consumers, check_depths, check_strays
from workers.cli.checks.flower import check_flower
from workers.cli.checks.local import check_packages, check_python
from workers.cli.checks.projects import check_project, check_store
from workers.cli.checks.tracing import check_tracing
from workers.cli.console import JsonFlag, counted, out, print_json
from workers.cli.errors import ExitCode
from workers.cli.examples import examples
from workers.redis.impatient import connect

EXAMPLES = examples(
    "byom doctor",
    "byom doctor --json",
    notes="Ends with 0 when nothing fails (warnings are allowed), else with 1. Changes nothing.",
)

#: Characters of what is looked at; longer names push what was found to the right.
_NAMES = 12

_MARKS = {Status.OK: "[green] ok [/]", Status.WARN: "[yellow]warn[/]", Status.FAIL: "[bold red]FAIL[/]"}


def doctor(
    flower_url: Annotated[str, typer.Option(help="Where Flower is.")] = "http://127.0.0.1:5555",
    as_json: JsonFlag = False,
) -> None:
    """Check versions, settings, broker, clock, stores, projects, workers, queues and Flower; say the mend."""
    try:
        is_url = httpx.URL(flower_url).scheme in {"http", "https"}
    except (httpx.InvalidURL, UnicodeError):
        is_url = False
    if not is_url:
        raise typer.BadParameter("--flower-url is no URL; write it as http://127.0.0.1:5555")
    checks: list[Check] = []
    for check in _examine(flower_url):
        checks.append(check)
        if not as_json:
            out.print(f"{_MARKS[check.status]}  [bold]{escape(check.name):<{_NAMES}}[/]  {escape(check.found)}")
            if check.mend:
                out.print(f"      → {escape(check.mend)}")
    counts = {status.value: sum(check.status is status for check in checks) for status in Status}
    if as_json:
        print_json({"checks": [asdict(check) for check in checks], **counts})
    else:
        words = (counted(counts["warn"], "warning"), counted(counts["fail"], "failure"))
        out.print(f"\n{counts['ok']} ok, {', '.join(words)}")
    if counts[Status.FAIL]:
        raise typer.Exit(ExitCode.FAILED)


def _examine(flower_url: str) -> Iterator[Check]:
    yield check_python(sys.version_info[:3])
    yield from check_packages()
    try:
        settings = load_settings()
    except SettingsError as error:
        yield fail("settings", str(error), "mend them, then run the doctor again for the rest")
        return
    yield ok("settings", "valid")
    store, check = check_store(settings.store_url, key=settings.store_key)
    yield check
    used: set[ProviderKind] = set()
    if store is not None:
        used, checks = _check_projects(store)
        yield from checks
    yield from _check_broker(settings, used)
    with httpx.Client(timeout=2) as client:
        yield from check_tracing(client, settings)
        yield check_flower(client, flower_url)


def _check_projects(store: ParameterStore) -> tuple[set[ProviderKind], list[Check]]:
    used: set[ProviderKind] = set()
    checks: list[Check] = []
    today = datetime.now(UTC).date()
    for project in list_projects(store):
        providers, found = check_project(store, project, catalogue=load_catalogue(), today=today)
        used |= providers
        checks += found
    return used, checks


def _check_broker(settings: Settings, used: set[ProviderKind]) -> Iterator[Check]:
    try:
        client, results = connect(settings.redis_url), connect(settings.backend_url)
    except SettingsError as error:
        yield fail("broker", str(error), "mend the URL")
        return
    with client, results:
        reachable = True
        for check in check_broker(client, now=time.time):
            yield check
            reachable &= check.name != "broker" or check.status is not Status.FAIL
        if settings.result_url is not None:
            yield check_results(results)
        if reachable:
            yield from _check_queues(client, settings, used)


def _check_queues(client: redis.Redis, settings: Settings, used: set[ProviderKind]) -> Iterator[Check]:
    with create_app(settings) as app:
        yield check_consumers(app.control.inspect(timeout=1.5).active_queues(), used)
    yield check_strays(client)
    yield from check_depths(client, unrenewed_for=settings.visibility_timeout)
