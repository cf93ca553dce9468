"""`byom connection set` and `remove`: change or remove what one level sets, and nothing else."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from config.connections import EffectiveConnection, save_connection
from config.connections.documents import Document, connection_documents
from config.connections.draft import Draft, broken, inherited_document, level_document
from config.connections.paths import Level
from config.errors import ConfigError, InvalidConnection, StoreError
from config.settings import load_settings
from config.store import ParameterStore, join_path
from workers.cli.chains import find_link
from workers.cli.changes_to_store import remove_credential, write_changes
from workers.cli.confirming import YesFlag, ask
from workers.cli.console import JsonFlag, out, print_json
from workers.cli.documents import edited, refuse_secrets
from workers.cli.errors import CommandError, ExitCode
from workers.cli.examples import examples
from workers.cli.levels import AccountOption, check_heirs, one_level, open_draft
from workers.cli.notice import warn_if_not_announced
from workers.cli.options import ConnectionName, ProjectOption
from workers.cli.saving import (
    ForceFlag,
    NoVerifyFlag,
    judge,
    must_verify,
    print_trial,
    print_warnings,
    stored_credential,
    verification_json,
    verify_link,
)
from workers.configuration.admin import Admin

SET_EXAMPLES = examples(
    "byom connection set --project acme --name primary --set tpm_capacity=30000",
    "byom connection set --project acme --name primary --unset tpm_capacity",
    "byom connection set --account corp --name primary --set model=gpt-5.4-nano --set labels.team=core",
    notes="Fields are those of `byom connection show`; null takes a value away, --unset lets it be inherited again.",
)
REMOVE_EXAMPLES = examples("byom connection remove --project acme --name fallback --yes")


def set_fields(
    name: ConnectionName,
    project: ProjectOption = None,
    account: AccountOption = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="FIELD=VALUE; may be repeated.")] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option("--unset", metavar="FIELD", help="Inherit this field, or take its default; may be repeated."),
    ] = None,
    force: ForceFlag = False,
    no_verify: NoVerifyFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Change single fields of a connection; a project so overrides single fields of its account's.

    Only what the level itself sets is written, and nothing when nothing changes. The connection is verified by a real
    call when something changes that decides whether calls work: provider, model, credential, address or region.
    """
    level = one_level(project, account)
    settings = load_settings()
    with Admin.opened(settings) as admin:
        store = admin.store
        draft = open_draft(store, level)
        own = level_document(draft.store, level, name)
        inherited = inherited_document(draft.store, level, name)
        if own is None and inherited is None:
            raise CommandError(
                f"{level} has no connection '{name}', neither of its own nor inherited; add one with: "
                f"byom connection add {level.flag} --name {name} …",
                code=ExitCode.USAGE,
            )
        document = edited(own or {}, setting=setting or [], unset=unset or [])
        refuse_secrets(document, source="the command line")
        before = _seen(draft.store, level, name)
        _put(draft, level, name, document, inherited=inherited is not None)
        changes = draft.changes()
        if not changes:
            _report(level, name, {"changed": False, "warnings": [], **verification_json(None)}, as_json=as_json)
            return
        judged = judge(store, draft, level, name, settings=settings, at=datetime.now(UTC))
        report, decisive = None, must_verify(before, judged.link)
        credential = stored_credential(store, judged.link, force=force) if decisive else None
        if decisive and not no_verify:
            report = verify_link(settings, level, judged.link, credential, force=force, as_json=as_json)
        write_changes(admin, changes, seen=draft.store)
        warn_if_not_announced(admin, settings)
    outcome = {"changed": True, "warnings": judged.warnings, **verification_json(report)}
    _report(level, name, outcome, as_json=as_json)
    if not as_json:
        if decisive:
            print_trial(report)
        print_warnings(judged.warnings)


def remove(
    name: ConnectionName,
    project: ProjectOption = None,
    account: AccountOption = None,
    yes: YesFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Remove a connection of a project or account, and its credential if no other connection of that level uses it."""
    level = one_level(project, account)
    settings = load_settings()
    with Admin.opened(settings) as admin:
        store = admin.store
        path = join_path(level.path, "connections", name)
        if store.get(path) is None:
            raise CommandError(
                f"{level} has no connection '{name}' of its own; see: byom connection list {level.flag}",
                code=ExitCode.USAGE,
            )
        ask(f"Remove connection '{name}' of {level} and its credential?", yes=yes, as_json=as_json)
        draft = open_draft(store, level)
        problem = broken(draft.store, level)
        credential = _credential_only_of(draft.store, level, name)
        draft.store.delete(path)
        if (left := broken(draft.store, level)) is not None and left != problem:
            raise InvalidConnection(f"without connection '{name}' this would be wrong: {left}; nothing was removed")
        check_heirs(store, draft, level, concerning=name, at=datetime.now(UTC))
        write_changes(admin, draft.changes(), seen=draft.store)
        reason = f"connection '{name}' was removed"
        credential_removed = credential is not None and remove_credential(admin, level, credential, reason=reason)
        warn_if_not_announced(admin, settings)
    if as_json:
        removed = {"name": name, "removed": True, "credential_removed": credential_removed}
        print_json({level.kind: level.name, **removed})
    else:
        rest = " and its credential" if credential_removed else "; its credential stays"
        out.print(f"Removed connection '{escape(name)}' of {level}{rest}.")


def _put(draft: Draft, level: Level, name: str, document: Document, *, inherited: bool) -> None:
    """Write a level's document to a draft; an empty one says nothing, so it goes.

    Raises:
        InvalidConnection: it does not fit.
    """
    if document or not inherited:
        save_connection(draft.store, level.path, {**document, "name": name})
    else:
        draft.store.delete(join_path(level.path, "connections", name))


def _seen(store: ParameterStore, level: Level, name: str) -> EffectiveConnection | None:
    """The connection as it was; None when it could not be resolved."""
    try:
        return find_link(store, level, name)
    except StoreError:
        raise
    except ConfigError:
        return None


def _credential_only_of(store: ParameterStore, level: Level, name: str) -> str | None:
    """The credential that no other connection of the level names; None when there is none, or nobody can say."""
    try:
        documents = connection_documents(store, level.path)
    except InvalidConnection:
        # What is damaged may name it.
        return None
    credential = documents.pop(name, {}).get("credential")
    named = {document.get("credential") for document in documents.values()}
    return credential if isinstance(credential, str) and credential not in named else None


def _report(level: Level, name: str, outcome: Document, *, as_json: bool) -> None:
    if as_json:
        print_json({level.kind: level.name, "name": name, **outcome})
    elif outcome["changed"]:
        out.print(f"Changed connection '{escape(name)}' of {level}.")
    else:
        out.print(f"Connection '{escape(name)}' of {level} is so already; nothing was written.")
