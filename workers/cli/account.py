"""`byom account`: the customers, what belongs to them, and the KMS key that their secrets are encrypted with."""

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape

from config.connections import account_path, list_projects, read_account, read_project
from config.connections.paths import ACCOUNTS
from config.kms_check import KeyCheck, Status, set_kms_key
from config.reencrypt import plan
from config.settings import load_settings
from config.store import ParameterStore, join_path
from workers.cli.console import JsonFlag, err, out, print_json, table
from workers.cli.context import configured_store
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.cli.notice import warn_if_not_announced
from workers.cli.options import identifier
from workers.configuration.admin import Admin

app = typer.Typer(help="List and show accounts, and set their KMS keys.", no_args_is_help=True)

RequiredAccount = Annotated[str, typer.Option("--account", "-a", help="The account.", callback=identifier)]

_ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
_MARKS = {Status.OK: "[green] ok [/]", Status.FAILED: "[bold red]FAIL[/]", Status.SKIPPED: "[yellow]skip[/]"}


@app.command("list", epilog=examples("byom account list", "byom account list --json"))
def list_accounts(as_json: JsonFlag = False) -> None:
    """Show all accounts: those that have something of their own, and those that a project names."""
    store = configured_store()
    accounts = [_summary(store, account, projects) for account, projects in sorted(_accounts(store).items())]
    if as_json:
        print_json(accounts)
        return
    if not accounts:
        err.print("No accounts yet.")
        return
    rows = [
        [
            facts["account"],
            ", ".join(facts["projects"]) or "-",
            str(len(facts["connections"])),
            facts["kms_key"] or "the store's own",
        ]
        for facts in accounts
    ]
    out.print(table(("ACCOUNT", "PROJECTS", "CONNECTIONS", "KMS KEY"), rows, right=("CONNECTIONS",)))


@app.command(epilog=examples("byom account show --account acme", "byom account show --account acme --json"))
def show(account: RequiredAccount, as_json: JsonFlag = False) -> None:
    """Show one account: its projects, its connections, its KMS key, and which of its secrets are under that key."""
    store = configured_store()
    projects = _accounts(store).get(account)
    if projects is None:
        message = f"there is no account '{account}'; see: byom account list"
        raise CommandError(message, code=ExitCode.USAGE)
    facts = _summary(store, account, projects)
    known = plan(store, account)
    others = [secret.path for secret in known.left]
    document = {**facts, "secrets": len(known.secrets), "under_another_key": others}
    if as_json:
        print_json(document)
        return
    out.print(f"[bold]{escape(account)}[/]")
    out.print(f"  Projects     {escape(', '.join(projects)) or '-'}")
    out.print(f"  Connections  {escape(', '.join(facts['connections'])) or '-'}")
    out.print(f"  KMS key      {escape(facts['kms_key'] or 'none: the store encrypts with its own')}")
    out.print(f"  Secrets      {len(known.secrets)}, {len(others)} of them under another key")
    if others:
        out.print(f"  → byom store reencrypt --account {account}")


@app.command(
    epilog=examples(
        f"byom account set-kms --account acme --key-arn {_ARN}",
        "byom account set-kms --account acme --none",
        "byom store reencrypt --account acme",
        notes="Nothing is saved unless every check is well; then ends with 0, else with 1. The last line encrypts\n"
        "anew what is stored already.",
    )
)
def set_kms(
    account: RequiredAccount,
    key_arn: Annotated[str | None, typer.Option(metavar="ARN", help="The customer's key.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Go back to the store's own key.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Set the customer's KMS key that the secrets of an account and its projects are encrypted with.

    Describes the key, encrypts and decrypts a sample, with the AWS credentials that this command finds, and says which
    permission is missing. The workers' role needs kms:Decrypt for the key, which only a worker can try.
    """
    if (key_arn is None) is not none:
        raise CommandError("give either --key-arn ARN or --none", code=ExitCode.USAGE)
    settings = load_settings()
    with Admin.opened(settings) as admin:
        checks = set_kms_key(admin.store, account, key_arn, save=admin.save_account)
        failed = [check for check in checks if check.status is not Status.OK]
        left = 0 if failed else len(plan(admin.store, account).left)
        warn_if_not_announced(admin, settings)
    if as_json:
        missing = [check.missing for check in checks if check.missing]
        document = {"account": account, "kms_key": key_arn, "saved": not failed, "missing": missing}
        print_json({**document, "checks": [asdict(check) for check in checks], "under_another_key": left})
    else:
        _print(account, key_arn, checks, left=left, saved=not failed)
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def _print(account: str, key_arn: str | None, checks: list[KeyCheck], *, left: int, saved: bool) -> None:
    for check in checks:
        out.print(f"{_MARKS[check.status]}  [bold]{escape(check.name)}[/]  {escape(check.message)}")
    if not saved:
        out.print("\nNothing was saved. docs/store.md has the statements for the key's policy and for this process's.")
        return
    now = "the customer's key" if key_arn else "the store's own key"
    out.print(f"Saved: new secrets of account '{account}' and its projects are encrypted with {now}.")
    if left:
        out.print(f"{left} are stored under another one; encrypt them anew: byom store reencrypt --account {account}")


def _accounts(store: ParameterStore) -> dict[str, list[str]]:
    """Account → its projects."""
    found: dict[str, list[str]] = {}
    for parameter in store.list(ACCOUNTS, secure=False):
        found.setdefault(parameter.path.removeprefix(f"{ACCOUNTS}/").split("/")[0], [])
    for project in list_projects(store):
        profile = read_project(store, project)
        if profile and profile.account:
            found.setdefault(profile.account, []).append(project)
    return found


def _summary(store: ParameterStore, account: str, projects: list[str]) -> dict[str, Any]:
    connections = store.list(join_path(account_path(account), "connections"), secure=False)
    return {
        "account": account,
        "projects": projects,
        "connections": [parameter.path.rsplit("/", 1)[1] for parameter in connections],
        "kms_key": read_account(store, account).kms_key,
    }
