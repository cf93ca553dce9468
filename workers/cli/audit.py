"""`byom audit`: who changed what of the configuration, and whether the log still says what it said."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from config.connections import account_path, project_path
from config.settings import load_settings
from workers.cli.console import JsonFlag, err, out, print_json, table
from workers.cli.errors import ExitCode
from workers.cli.examples import examples
from workers.cli.options import since as parse_since
from workers.cli.scopes import AccountScope, ProjectScope
from workers.configuration.audit import AuditLog, Record

app = typer.Typer(invoke_without_command=True)


@app.callback(
    epilog=examples(
        "byom audit",
        "byom audit --project acme --since 7d",
        "byom audit --account corp --json",
    )
)
def audit(
    context: typer.Context,
    project: ProjectScope = None,
    account: AccountScope = None,
    since: Annotated[str | None, typer.Option(help="A span (90m, 24h, 7d) or an ISO 8601 date.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the changes of connections, credentials, projects and accounts: when, who, what, and how it ended."""
    if context.invoked_subcommand is not None:
        return
    scopes = {
        path for path in (project and project_path(project), account and account_path(account)) if path is not None
    }
    start = parse_since(since, now=datetime.now(UTC)) if since else None
    log = AuditLog.from_settings(load_settings())
    found = [
        record
        for record in log.records()
        if (not scopes or record.scope in scopes) and (start is None or record.at >= start)
    ]
    if as_json:
        for record in found:
            print_json(record.model_dump(mode="json", exclude_none=True))
    elif not found:
        err.print(f"Nothing is recorded in {log.path}.")
    else:
        out.print(table(("WHEN", "WHO", "WHAT", "WHERE", "CHANGES", "OUTCOME"), map(_row, found)))


@app.command(
    epilog=examples(
        "byom audit verify",
        "byom audit verify --head 9f2c41d06b7e8a35c1f0e4d2b7a9c6583e1d0f4b2a7c9e8d6f5b3a1c0e2d4f68 --json",
        notes="Note the head somewhere else, and give it next time: who can write the log cannot make it fit again.",
    )
)
def verify(
    head: Annotated[
        str | None, typer.Option(metavar="HASH", help="A head that an earlier check printed; it must still be there.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check that no line of the log was altered, removed, put in or moved; ends with 1 and says where if one was."""
    log = AuditLog.from_settings(load_settings())
    audited = log.verify(head=head)
    newest = audited.head.hash if audited.head else None
    if as_json:
        print_json(
            {
                "ok": audited.ok,
                "path": str(log.path),
                "lines": audited.lines,
                "head": newest,
                "line": audited.line,
                "problem": audited.problem,
                "remark": audited.remark,
            }
        )
    elif audited.ok:
        out.print(f"{log.path} is whole: {audited.lines:,} lines, head {newest or 'none'}.")
    else:
        err.print(f"{log.path} [bold red]is not whole[/]: line {audited.line}: {audited.problem}.", soft_wrap=True)
    if audited.remark and not as_json:
        err.print(f"Not checked: {audited.remark}.")
    if not audited.ok:
        raise typer.Exit(ExitCode.FAILED)


def _row(record: Record) -> Sequence[str]:
    return [
        f"{record.at:%Y-%m-%d %H:%M:%S}",
        record.by,
        f"{record.action} {record.subject}",
        record.scope.removeprefix("/byom/"),
        json.dumps(record.changes, ensure_ascii=False) if record.changes else "",
        record.outcome if record.error is None else f"{record.outcome}: {record.error}",
    ]
