"""Reading a secret from where it may come: an environment variable, a file or stdin, never the command line."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from config.credential_shapes import credential_problem
from config.errors import MalformedCredential
from config.secret_looks import secret_kind
from tasks.contract import ProviderKind
from workers.cli.console import one_line
from workers.cli.errors import CommandError, ExitCode

KeyEnv = Annotated[str | None, typer.Option(metavar="NAME", help="Read the key from this variable.")]
KeyFile = Annotated[Path | None, typer.Option(metavar="FILE", help="Read the key from this file.")]
KeyStdin = Annotated[bool, typer.Option("--key-stdin", help="Read the key from stdin.")]


def read_secret(
    provider: ProviderKind | None,
    *,
    key_env: str | None,
    key_file: Path | None,
    key_stdin: bool,
    own_server: bool = True,
    region: str | None = None,
) -> SecretStr | None:
    """The secret from the one source that was named, or None when none was.

    Args:
        provider: whose credential it is to be; None when that is not known, which takes a word or a JSON object.
        key_env: the source is this environment variable.
        key_file: the source is this file.
        key_stdin: the source is stdin.
        own_server: the connection has an address of its own, or it is not known whether it has.
        region: where a connection of Bedrock calls, as far as that is known.

    Raises:
        CommandError: two sources were named, the source is not there, or it was the key itself that was given.
        MalformedCredential: what it holds cannot be a credential of the provider; says what to give instead.
    """
    named = [
        flag for flag, given in (("--key-env", key_env), ("--key-file", key_file), ("--key-stdin", key_stdin)) if given
    ]
    if len(named) > 1:
        raise CommandError(f"{' and '.join(named)} name two sources; give one", code=ExitCode.USAGE)
    if not named:
        return None
    source = named[0]
    if kind := secret_kind(key_env or str(key_file or ""), name=True):
        raise CommandError(
            f"{source} takes the name of a {'variable' if key_env else 'file'}, and what was given looks like {kind}. "
            "If it is one, everybody on this machine could read it: revoke it, and create another",
            code=ExitCode.USAGE,
        )
    if key_env:
        text, source = os.environ.get(key_env, ""), f"the environment variable {one_line(key_env)}"
    elif key_file:
        text, source = _read_file(key_file), one_line(key_file)
    else:
        text, source = sys.stdin.read(), "stdin"
    text = text.strip()
    if not text:
        raise CommandError(f"{source} holds no key; nothing was saved", code=ExitCode.USAGE)
    secret = SecretStr(text)
    if provider is None:
        if not (_is_object(text) or _is_word(text)):
            raise CommandError(
                f"{source} holds spaces, line breaks or unusual characters, which no key has; put the key there alone. "
                "Nothing was saved",
                code=ExitCode.USAGE,
            )
        return secret
    if problem := credential_problem(secret, provider=provider, own_server=own_server, region=region):
        raise MalformedCredential(f"what {source} holds {problem}. Nothing was saved")
    return secret


def _read_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise CommandError(f"{one_line(path)} is not text; nothing was saved", code=ExitCode.USAGE) from None
    except OSError as error:
        raise CommandError(f"cannot read {one_line(path)}: {error.strerror}", code=ExitCode.USAGE) from error


def _is_object(text: str) -> bool:
    """Whether the text is a JSON object, as a service account's key file is."""
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _is_word(text: str) -> bool:
    """Whether the text can stand in an HTTP header: printable ASCII without spaces."""
    return text.isascii() and text.isprintable() and " " not in text
