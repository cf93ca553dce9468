"""Connections as documents: from options, from `KEY=VALUE`, and from a JSON file."""

import json
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from config.connections import Connection
from config.connections.documents import Document
from config.errors import InvalidFile
from config.secret_looks import secret_kind, secrets_in
from workers.cli.console import one_line
from workers.cli.errors import CommandError, ExitCode

_LABEL = "labels."
#: A file on a command line is a configuration, not a data set.
_MOST_BYTES = 32_000_000


def pairs(texts: Iterable[str], *, flag: str) -> dict[str, str]:
    """What repeated `KEY=VALUE` options say. What does not fit is not quoted: it may be a key that was mistyped here.

    Raises:
        CommandError: one of them is not of that form.
    """
    found: dict[str, str] = {}
    for number, text in enumerate(texts, start=1):
        key, _, value = text.partition("=")
        if not (key and value):
            raise CommandError(f"{flag} number {number} is not KEY=VALUE", code=ExitCode.USAGE)
        found[key] = value
    return found


def edited(document: Document, *, setting: Iterable[str], unset: Iterable[str]) -> Document:
    """A document with some fields set and others taken out; `labels.KEY` is one label, `null` is null.

    Raises:
        CommandError: a field that no connection has, or one that is both set and unset. Fields are not repeated: they
            may be anything.
    """
    changed = dict(document)
    given = pairs(setting, flag="--set")
    if given.keys() & set(unset):
        raise CommandError("a field is both set and unset; give one of the two", code=ExitCode.USAGE)
    for field in unset:
        _known(field, flag="--unset")
        if field.startswith(_LABEL):
            rest = {key: value for key, value in _labels(changed).items() if key != field.removeprefix(_LABEL)}
            changed = {**changed, "labels": rest} if rest else _without(changed, "labels")
        else:
            changed = _without(changed, field)
    for field, value in given.items():
        _known(field, flag="--set")
        if field.startswith(_LABEL):
            changed["labels"] = {**_labels(changed), field.removeprefix(_LABEL): value}
        elif field == "labels":
            raise CommandError("--set labels: set one label with --set labels.KEY=VALUE", code=ExitCode.USAGE)
        else:
            changed[field] = None if value == "null" else value
    return changed


def read_document(path: Path | None) -> Document:
    """A connection as a JSON file, or stdin, says it; empty without a file.

    Raises:
        InvalidFile: it is not a JSON object, or it holds a secret.
        CommandError: it cannot be read.
    """
    if path is None:
        return {}
    text, source = read_text(path)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        # The decoder's message quotes the text around the fault.
        document = None
    if not isinstance(document, dict):
        raise InvalidFile(f'{source} is not a JSON object; write {{"provider": …, "model": …, …}}')
    refuse_secrets(document, source=source)
    return document


def refuse_secrets(document: Document, *, source: str) -> None:
    """See that nothing in a document looks like a secret.

    Raises:
        InvalidFile: something does; says where, never what.
    """
    if found := next(secrets_in(document), None):
        path, kind = found
        raise InvalidFile(
            f"{source}: {path} looks like {kind}; secrets are read with --key-env, --key-file or --key-stdin only. If "
            "it is one, it was readable where it stood: revoke it and create another"
        )


def read_text(path: Path) -> tuple[str, str]:
    """What a file or, for `-`, stdin holds, and what to call it in messages.

    Raises:
        CommandError: it cannot be read, or is not text of a reasonable size.
    """
    source = "stdin" if str(path) == "-" else one_line(path)
    if kind := secret_kind(source, name=True):
        raise CommandError(f"the name of the file looks like {kind}; give the name of a file", code=ExitCode.USAGE)
    try:
        raw = sys.stdin.buffer.read(_MOST_BYTES + 1) if source == "stdin" else _head(path)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else "not a path"
        raise CommandError(f"cannot read {source}: {said}", code=ExitCode.USAGE) from None
    if len(raw) > _MOST_BYTES:
        raise CommandError(f"{source} has more than {_MOST_BYTES:,} bytes", code=ExitCode.USAGE)
    try:
        return raw.decode("utf-8-sig"), source
    except UnicodeDecodeError:
        raise CommandError(f"{source} is not text in UTF-8", code=ExitCode.USAGE) from None


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MOST_BYTES + 1)


def _known(field: str, *, flag: str) -> None:
    names = [name for name in Connection.model_fields if name != "name"]
    if field in names or (field.startswith(_LABEL) and field != _LABEL):
        return
    close = get_close_matches(field, names, 1, 0.6) or [name for name in names if field and name.startswith(field)]
    hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(names)}"
    raise CommandError(f"{flag}: no connection has a field of this name; {hint}", code=ExitCode.USAGE)


def _labels(document: Document) -> dict[str, Any]:
    labels = document.get("labels")
    return labels if isinstance(labels, dict) else {}


def _without(document: Document, field: str) -> Document:
    return {name: value for name, value in document.items() if name != field}
