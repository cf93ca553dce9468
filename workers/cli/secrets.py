"""Reading a secret from where it may come: an environment variable, a file or stdin, never the command line."""

import json
import os
import sys
from pathlib import Path

from pydantic import SecretStr

from tasks.contract import ProviderKind
from workers.cli.errors import CommandError, ExitCode

#: Providers whose credential is a document, not one word.
_DOCUMENTS = frozenset({ProviderKind.VERTEX, ProviderKind.BEDROCK})


def read_secret(
    provider: ProviderKind | None, *, key_env: str | None, key_file: Path | None, key_stdin: bool
) -> SecretStr | None:
    """The secret from the one source that was named, or None when none was.

    Args:
        provider: whose key it should look like; None when that is not known, which takes a word or a JSON object.
        key_env: name of an environment variable.
        key_file: a file.
        key_stdin: whether it is read from stdin.

    Raises:
        CommandError: two sources were named, the source is not there, or what it holds cannot be a credential.
    """
    named = [
        flag for flag, given in (("--key-env", key_env), ("--key-file", key_file), ("--key-stdin", key_stdin)) if given
    ]
    if len(named) > 1:
        raise CommandError(f"{' and '.join(named)} name two sources; give one", code=ExitCode.USAGE)
    if not named:
        return None
    source = named[0]
    if key_env:
        text, source = os.environ.get(key_env, ""), f"the environment variable {key_env}"
    elif key_file:
        text, source = _read_file(key_file), str(key_file)
    else:
        text, source = sys.stdin.read(), "stdin"
    text = text.strip()
    if not text:
        raise CommandError(f"{source} holds no key; nothing was saved", code=ExitCode.USAGE)
    document = _is_object(text) if provider is None else provider in _DOCUMENTS
    if not document and not _is_word(text):
        raise CommandError(
            f"{source} holds spaces, line breaks or unusual characters, which no {provider or 'provider'} key has; "
            "put the key there alone. Nothing was saved",
            code=ExitCode.USAGE,
        )
    return SecretStr(text)


def _read_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise CommandError(f"{path} is not text; nothing was saved", code=ExitCode.USAGE) from None
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}", code=ExitCode.USAGE) from error


def _is_object(text: str) -> bool:
    """Whether the text is a JSON object, as a service account's key file is."""
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _is_word(text: str) -> bool:
    """Whether the text can stand in an HTTP header: printable ASCII without spaces."""
    return text.isascii() and text.isprintable() and " " not in text
