"""`byom webhook`: where events are posted, what signs them, and what could not be delivered."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from config.connections import list_projects
from config.settings import Settings, load_settings
from config.store import ParameterStore, open_store
from config.webhooks import (
    CALLBACK,
    DEFAULT_KINDS,
    Webhook,
    effective_webhooks,
    read_webhook,
    remove_webhook,
    rotate_secret,
    save_webhook,
    set_enabled,
    signing_secrets,
)
from workers.cli.confirming import YesFlag, ask
from workers.cli.console import JsonFlag, err, out, print_json, table
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.cli.notice import warn_if_not_announced
from workers.cli.options import identifier
from workers.cli.options import since as parse_since
from workers.cli.scopes import AccountScope, ProjectScope, scope_path, scope_words
from workers.cli.webhook_trial import try_out
from workers.cli.webhook_views import failed_as_json, failed_row, owner_of, shown_url, webhook_as_json, webhook_row
from workers.configuration.admin import Admin
from workers.notify.outbox import OutboxReader
from workers.notify.posting import webhook_address_problem
from workers.redis.impatient import connect

app = typer.Typer(help="Post events to webhooks, signed; and see what could not be delivered.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the webhook.", callback=identifier)]


@app.command(
    epilog=examples(
        "byom webhook add ops --project acme --url https://hooks.example.com/byom",
        "byom webhook add jobs --project acme --url https://hooks.example.com/jobs --kind 'job.*'",
        "byom webhook add ops --account acme-inc --url https://hooks.example.com/byom",
        notes="Its secret: byom webhook secret NAME --project P",
    )
)
def add(
    name: Name,
    url: Annotated[str, typer.Option(help="Where events are posted.")],
    project: ProjectScope = None,
    account: AccountScope = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="A kind of event, or several as byom.*, job.* or *; may be repeated.", show_default=False),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Post events to an address; the same name again changes its address and kinds, and keeps its secret.

    Without --kind it gets all events but those of jobs.
    """
    settings, scope = load_settings(), scope_path(project, account)
    if problem := webhook_address_problem(url, allow_private=settings.allow_private_endpoints):
        raise CommandError(f"--url: {problem}. Nothing was saved", code=ExitCode.USAGE)
    kinds = tuple(kind) if kind else DEFAULT_KINDS
    with _changing(settings, "save", scope, name, {"url": shown_url(url), "kinds": list(kinds)}) as store:
        webhook = save_webhook(store, scope, name, url=url, kinds=kinds, now=datetime.now(UTC))
    if as_json:
        print_json(webhook_as_json(webhook))
        return
    out.print(f"Saved webhook '{name}' of {scope_words(scope)}: {', '.join(webhook.kinds)}.")
    out.print(f"Its secret, for the receiver: byom webhook secret {name} {_flag(scope)}")
    out.print(f"Try it out: byom webhook test {name} {_flag(scope)}")


@app.command("list", epilog=examples("byom webhook list", "byom webhook list --project acme --json"))
def list_webhooks(project: ProjectScope = None, account: AccountScope = None, as_json: JsonFlag = False) -> None:
    """Show the webhooks of a project with those of its account, of an account, or of all projects."""
    settings = load_settings()
    store = open_store(settings.store_url, key=settings.store_key)
    with connect(settings.redis_url) as client:
        outbox = OutboxReader(client)
        found = [
            {
                "project": of,
                **webhook_as_json(webhook),
                "gone": outbox.gone(webhook.path),
                "waiting": outbox.waiting(webhook.path),
            }
            for of, webhook in _found(store, project, account)
        ]
    if as_json:
        print_json(found)
    elif found:
        columns = ("PROJECT", "WEBHOOK", "OF", "ADDRESS", "KINDS", "STATE", "SECRETS", "WAITING")
        out.print(table(columns, [webhook_row(one) for one in found], right=("WAITING",)))
    else:
        err.print("No webhooks yet; add one with: byom webhook add --help")


@app.command(
    epilog=examples(
        "byom webhook secret --project acme",
        "byom webhook secret ops --project acme",
        notes="Prints a secret: mind who sees your screen. Besides it, `byom producer key` alone does.",
    )
)
def secret(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[NAME]", help="Name of the webhook; without it, what signs callbacks.", callback=identifier
        ),
    ] = CALLBACK,
    project: ProjectScope = None,
    account: AccountScope = None,
    as_json: JsonFlag = False,
) -> None:
    """Print the secret with which a receiver verifies what it gets.

    Without a name it is the one that signs the callbacks of jobs; it is made if there is none yet.
    """
    settings, scope = load_settings(), scope_path(project, account)
    store = open_store(settings.store_url, key=settings.store_key)
    now = datetime.now(UTC)
    webhook = read_webhook(store, scope, name)
    if webhook is None and name == CALLBACK:
        with _changing(settings, "save", scope, name) as writable:
            webhook = save_webhook(writable, scope, CALLBACK, url=None, kinds=(), now=now)
        err.print(f"Made a secret for the callbacks of {scope_words(scope)}.")
    webhook = webhook or _missing(scope, name)
    found = signing_secrets(store, webhook, now=now)
    if not found:
        raise CommandError(
            f"the secret of webhook '{name}' is not in the store; make one with: "
            f"byom webhook rotate {name} {_flag(scope)}",
            code=ExitCode.USAGE,
        )
    value = found[0].get_secret_value()
    if as_json:
        print_json({"webhook": name, "version": max(webhook.secrets), "secret": value})
    else:
        typer.echo(value)


@app.command(
    epilog=examples(
        "byom webhook rotate ops --project acme",
        "byom webhook rotate callback --project acme --overlap 7d",
        "byom webhook rotate ops --project acme --overlap 0m",
    )
)
def rotate(
    name: Name,
    project: ProjectScope = None,
    account: AccountScope = None,
    overlap: Annotated[str, typer.Option(help="How long the old secret signs too: 90m, 24h, 7d.")] = "24h",
    as_json: JsonFlag = False,
) -> None:
    """Make a new secret. Until the overlap ends both sign every message, so that receivers can change over."""
    settings, scope = load_settings(), scope_path(project, account)
    now = datetime.now(UTC)
    span = now - parse_since(overlap, now=now, option="--overlap")
    with _changing(settings, "rotate", scope, name, {"overlap_seconds": span.total_seconds()}) as store:
        webhook = rotate_secret(store, _webhook(store, scope, name), now=now, overlap=span)
    if as_json:
        print_json(webhook_as_json(webhook))
        return
    until = [version.until for version in webhook.secrets.values() if version.until]
    old = f"the one before it signs too until {until[0]:%Y-%m-%d %H:%M} UTC" if until else "the old one signs no more"
    out.print(f"Webhook '{name}' of {scope_words(scope)} has secret version {max(webhook.secrets)}; {old}.")
    out.print(f"The new one, for the receiver: byom webhook secret {name} {_flag(scope)}")


@app.command(epilog=examples("byom webhook enable ops --project acme"))
def enable(name: Name, project: ProjectScope = None, account: AccountScope = None, as_json: JsonFlag = False) -> None:
    """Switch a webhook on, also one that answered 410 Gone."""
    settings, scope = load_settings(), scope_path(project, account)
    with _changing(settings, "enable", scope, name) as store:
        webhook = set_enabled(store, _webhook(store, scope, name), enabled=True)
    with connect(settings.redis_url) as client:
        OutboxReader(client).reopen(webhook.path)
    _say(webhook, f"Webhook '{name}' of {scope_words(scope)} is on.", as_json=as_json)


@app.command(epilog=examples("byom webhook disable ops --project acme"))
def disable(name: Name, project: ProjectScope = None, account: AccountScope = None, as_json: JsonFlag = False) -> None:
    """Switch a webhook off; it keeps its address and its secret."""
    settings, scope = load_settings(), scope_path(project, account)
    with _changing(settings, "disable", scope, name) as store:
        webhook = set_enabled(store, _webhook(store, scope, name), enabled=False)
    _say(webhook, f"Webhook '{name}' of {scope_words(scope)} is off.", as_json=as_json)


@app.command(epilog=examples("byom webhook remove ops --project acme --yes"))
def remove(
    name: Name,
    project: ProjectScope = None,
    account: AccountScope = None,
    yes: YesFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Remove a webhook and its secret. What waits for it is given up."""
    settings, scope = load_settings(), scope_path(project, account)
    webhook = _webhook(open_store(settings.store_url, key=settings.store_key), scope, name)
    ask(f"Remove webhook '{name}' of {scope_words(scope)} and its secret?", yes=yes, as_json=as_json)
    with _changing(settings, "remove", scope, name) as store:
        remove_webhook(store, webhook)
    with connect(settings.redis_url) as client:
        OutboxReader(client).reopen(webhook.path)
    if as_json:
        print_json({"webhook": name, "of": owner_of(scope), "removed": True})
    else:
        out.print(f"Removed webhook '{name}' of {scope_words(scope)}.")


@app.command("test", epilog=examples("byom webhook test ops --project acme"))
def try_webhook(
    name: Name, project: ProjectScope = None, account: AccountScope = None, as_json: JsonFlag = False
) -> None:
    """Post an event of the kind `webhook.test` at once, from here, and say what came back."""
    settings, scope = load_settings(), scope_path(project, account)
    store = open_store(settings.store_url, key=settings.store_key)
    webhook = _webhook(store, scope, name)
    if webhook.url is None:
        raise CommandError(f"'{CALLBACK}' has no address of its own to try out", code=ExitCode.USAGE)
    event_id, posted = try_out(settings, store, webhook)
    if as_json:
        print_json(
            {
                "webhook": name,
                "id": event_id,
                "delivered": posted.problem is None,
                "status": posted.status,
                "problem": posted.problem,
            }
        )
    elif posted.problem is None:
        out.print(f"Webhook '{name}' of {scope_words(scope)} answered {posted.status}: delivered, as {event_id}.")
    else:
        err.print(f"[bold red]Not delivered:[/] {escape(posted.problem)}")
    if posted.problem is not None:
        raise typer.Exit(ExitCode.FAILED)


@app.command(epilog=examples("byom webhook failed", "byom webhook failed --project acme --json"))
def failed(project: ProjectScope = None, as_json: JsonFlag = False) -> None:
    """Show deliveries that were given up, with the last cause."""
    with connect(load_settings().redis_url) as client:
        found = list(OutboxReader(client).failed(project))
    if as_json:
        for one in found:
            print_json(failed_as_json(one))
    elif found:
        columns = ("GIVEN UP", "ID", "PROJECT", "KIND", "TO", "TRIES", "CAUSE")
        out.print(table(columns, [failed_row(one) for one in found], right=("TRIES",)))
    else:
        err.print("No delivery was given up.")


@app.command(
    epilog=examples(
        "byom webhook redeliver evt_5f0d2c3a9b --project acme",
        "byom webhook redeliver --all --project acme",
    )
)
def redeliver(
    message: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The event's id, or the job's; see `byom webhook failed`.")
    ] = None,
    project: ProjectScope = None,
    everything: Annotated[bool, typer.Option("--all", help="All that were given up.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Send again what was given up, under the same id and with all its tries before it; workers do it at once."""
    if (message is None) is not everything:
        raise CommandError("give an ID, or --all", code=ExitCode.USAGE)
    with connect(load_settings().redis_url) as client:
        outbox = OutboxReader(client)
        wanted = [one for one in outbox.failed(project) if everything or message in {one.message, one.id}]
        count = sum(outbox.redeliver(one) for one in wanted)
    if not count and message is not None:
        raise CommandError(f"no delivery of '{message}' was given up; see: byom webhook failed", code=ExitCode.FAILED)
    if as_json:
        print_json({"redelivered": count})
    else:
        out.print(f"{count} deliveries go out again.")


def _found(store: ParameterStore, project: str | None, account: str | None) -> Iterator[tuple[str | None, Webhook]]:
    if account is not None:
        yield from ((None, webhook) for webhook in effective_webhooks(store, project=None, account=account))
        return
    for name in [project] if project else list_projects(store):
        yield from ((name, webhook) for webhook in effective_webhooks(store, project=name))


@contextmanager
def _changing(
    settings: Settings, action: str, scope: str, name: str, changes: dict[str, Any] | None = None
) -> Iterator[ParameterStore]:
    """The store, for a change that is recorded and of which workers are told."""
    with Admin.opened(settings) as admin:
        with admin.record(f"webhook.{action}", scope, f"webhooks/{name}", changes):
            yield admin.store
        warn_if_not_announced(admin, settings)


def _flag(scope: str) -> str:
    """A scope as command lines have it."""
    kind, owner = owner_of(scope).split(" ")
    return f"--{kind} {owner}"


def _webhook(store: ParameterStore, scope: str, name: str) -> Webhook:
    return read_webhook(store, scope, name) or _missing(scope, name)


def _missing(scope: str, name: str) -> Webhook:
    raise CommandError(
        f"{scope_words(scope)} has no webhook '{name}' of its own; see: byom webhook list {_flag(scope)}",
        code=ExitCode.USAGE,
    )


def _say(webhook: Webhook, text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(webhook_as_json(webhook))
    else:
        out.print(text)
