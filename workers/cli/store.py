"""`byom store`: where configuration and secrets are kept, whether that works, and moving or encrypting them anew."""

from collections import Counter
from typing import Annotated, Any

import typer
from rich.markup import escape

from config.connections.paths import ACCOUNTS, PROJECTS, account_path
from config.copying import ROOT, copy, list_paths
from config.copying import Outcome as CopyOutcome
from config.reencrypt import Done, plan, reencrypt
from config.reencrypt import Outcome as RewriteOutcome
from config.settings import load_settings
from config.store import FileStore, MemoryStore, ParameterStore, open_store
from config.store.file import KEY_SETTING
from config.store.probe import Access, probe
from workers.cli.account import RequiredAccount
from workers.cli.console import JsonFlag, out, print_json, progress
from workers.cli.context import configured_store
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.cli.notice import warn_if_not_announced
from workers.configuration.admin import Admin, Entry

app = typer.Typer(help="Look at the store, copy it, encrypt it anew.", no_args_is_help=True)


@app.command(
    epilog=examples(
        "byom store info",
        "BYOM_STORE_URL=ssm://eu-central-1 byom store info --json",
        notes="Ends with 0 when the store can be read, else with 3. A worker's role need not be able to write.",
    )
)
def info(as_json: JsonFlag = False) -> None:
    """Show which store is in use, where it is, what it holds, how it is encrypted, and what this process may do.

    To find out it writes a secret of no meaning, reads it back and deletes it.
    """
    store = configured_store()
    facts = describe(store)
    access = probe(store, ROOT)
    counts = _counts(store) if access.readable else {}
    document = {**facts, "readable": access.readable, "writable": access.writable, "counts": counts}
    if as_json:
        print_json({**document, "problems": [problem for problem in (access.read, access.write) if problem]})
    else:
        _print_info(facts, counts, access)
    if not access.readable:
        raise typer.Exit(ExitCode.UNREACHABLE)


@app.command(
    "copy",
    epilog=examples(
        "byom store copy --from file:.byom/store.json --to ssm://eu-central-1",
        "byom store copy --from ssm: --to file:backup.json --overwrite --json",
        notes="May be repeated: what is there already is not written again. Ends with 1 when values of the target\n"
        "differ.",
    ),
)
def copy_store(
    source_url: Annotated[str, typer.Option("--from", metavar="URL", help="The store to read.")],
    target_url: Annotated[str, typer.Option("--to", metavar="URL", help="The store to write to.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace values of the target that differ.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Copy all configuration and secrets from one store to another, such as from a laptop's file to SSM.

    Secrets are written under the KMS key of their account. BYOM_STORE_KEY, where it is set, is the key of both.
    """
    settings = load_settings()
    source = open_store(source_url, key=settings.store_key)
    target = open_store(target_url, key=settings.store_key)
    if isinstance(source, MemoryStore) or isinstance(target, MemoryStore):
        raise CommandError("a memory: store is this process's own; name a file: or ssm: store", code=ExitCode.USAGE)
    counts: Counter[CopyOutcome] = Counter()
    differing: list[str] = []
    entry = Entry(action="store.copy", scope=ROOT, subject="store")
    entry.changes.update({"from": source_url, "to": target_url, "overwrite": overwrite})
    with Admin.opened(settings) as admin:
        with admin.records([entry], in_steps=True), progress(quiet=as_json) as bar:
            task = bar.add_task("copying", total=len(list_paths(source)))
            for copied in copy(source, target, overwrite=overwrite):
                counts[copied.outcome] += 1
                if copied.outcome is CopyOutcome.DIFFERS:
                    differing.append(copied.path)
                bar.advance(task)
            entry.changes.update({outcome.value: counts[outcome] for outcome in CopyOutcome})
        warn_if_not_announced(admin, settings)
    if as_json:
        print_json({**{outcome.value: counts[outcome] for outcome in CopyOutcome}, "differing": differing})
    else:
        out.print(f"{counts[CopyOutcome.COPIED]} copied, {counts[CopyOutcome.ALREADY]} there already.")
        for path in differing:
            out.print(f"[yellow]differs[/]  {escape(path)}: left as it is in the target; --overwrite replaces it")
    if differing:
        raise typer.Exit(ExitCode.FAILED)


@app.command(
    "reencrypt",
    epilog=examples(
        "byom account set-kms --account acme --none",
        "byom store reencrypt --account acme",
        notes="May be stopped at any moment and started again: what is under the right key is not written again. Ends\n"
        "with 1 when a secret could not be encrypted anew.",
    ),
)
def reencrypt_account(account: RequiredAccount, as_json: JsonFlag = False) -> None:
    """Encrypt the secrets of an account and its projects anew, under the KMS key that `byom account set-kms` set.

    SSM keeps the versions before, under the old key, in a parameter's history; rotate a credential to be rid of them.
    """
    settings = load_settings()
    counts: Counter[RewriteOutcome] = Counter()
    failed: list[Done] = []
    with Admin.opened(settings) as admin:
        todo = plan(admin.store, account)
        entry = Entry(action="account.reencrypt", scope=account_path(account), subject="secrets")
        entry.changes["kms_key"] = todo.kms_key
        with admin.records([entry], in_steps=True), progress(quiet=as_json) as bar:
            task = bar.add_task("encrypting", total=len(todo.secrets))
            for done in reencrypt(admin.store, todo):
                counts[done.outcome] += 1
                if done.outcome is RewriteOutcome.FAILED:
                    failed.append(done)
                bar.advance(task)
            entry.changes.update({outcome.value: counts[outcome] for outcome in RewriteOutcome})
        warn_if_not_announced(admin, settings)
    if as_json:
        print_json(
            {
                "account": account,
                "kms_key": todo.kms_key,
                **{outcome.value: counts[outcome] for outcome in RewriteOutcome},
                "problems": [{"path": done.path, "message": done.message} for done in failed],
            }
        )
    else:
        out.print(
            f"{counts[RewriteOutcome.REENCRYPTED]} encrypted anew under {escape(todo.kms_key or 'the store key')}, "
            f"{counts[RewriteOutcome.ALREADY]} were under it already."
        )
        for done in failed:
            out.print(f"[bold red]FAIL[/]  {escape(done.message)}")
        if counts[RewriteOutcome.CHANGED]:
            out.print(
                f"{counts[RewriteOutcome.CHANGED]} were changed by others meanwhile; run it again to see to them."
            )
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def describe(store: ParameterStore) -> dict[str, Any]:
    """Kind and place of a store, and what it encrypts secrets with.

    Raises:
        StoreError: no AWS region is known.
    """
    if isinstance(store, FileStore):
        key = KEY_SETTING if store.key_path is None else str(store.key_path)
        return {"kind": "file", "where": str(store.path), "key": f"AES-256-GCM with {key}"}
    if isinstance(store, MemoryStore):
        return {"kind": "memory", "where": "this process alone, until it ends", "key": "none"}
    from config.store.ssm import DEFAULT_KEY, SsmStore  # noqa: PLC0415 - the others need nothing of boto3

    assert isinstance(store, SsmStore), store  # noqa: S101 - there are three
    return {
        "kind": "ssm",
        "where": f"{store.endpoint} in {store.region}, names below {store.prefix}{ROOT}",
        "key": f"AWS KMS: {DEFAULT_KEY}, or the key of an account (byom account list)",
    }


def _counts(store: ParameterStore) -> dict[str, int]:
    plain = [parameter.path for parameter in store.list(ROOT, secure=False)]
    secrets = list(store.secrets(ROOT))
    return {
        "projects": len({path.split("/")[3] for path in plain if path.startswith(f"{PROJECTS}/")}),
        "accounts": len({path.split("/")[3] for path in plain if path.startswith(f"{ACCOUNTS}/")}),
        "plain": len(plain),
        "secrets": len(secrets),
        "under_customer_keys": sum(secret.kms_key is not None for secret in secrets),
    }


def _print_info(facts: dict[str, Any], counts: dict[str, int], access: Access) -> None:
    out.print(f"[bold]{facts['kind']}[/]  {escape(facts['where'])}")
    out.print(f"  Encryption  {escape(facts['key'])}")
    out.print(f"  Readable    {'yes' if access.readable else f'[red]no[/]: {escape(access.read)}'}")
    out.print(f"  Writable    {'yes' if access.writable else f'[yellow]no[/]: {escape(access.write)}'}")
    if counts:
        out.print(
            f"  Holds       {counts['projects']} projects, {counts['accounts']} accounts, "
            f"{counts['plain']} plain values, "
            f"{counts['secrets']} secrets ({counts['under_customer_keys']} under customers' keys)"
        )
