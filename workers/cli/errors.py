"""One door for every error: a clear line on stderr (a JSON object with `--json`) and a documented exit code."""

import errno
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import IntEnum
from io import TextIOWrapper
from typing import Any, Final

import redis
import typer
from kombu.exceptions import OperationalError
from rich.markup import escape
from typer.core import TyperGroup

from config.errors import ConfigError, StoreError
from tasks.contract import ContractError, ExtractionFailed
from workers.cli.console import err


class ExitCode(IntEnum):
    """How a command ends."""

    #: All went well; warnings allowed.
    OK = 0
    #: The command ran, but jobs or checks failed, a process of the stack died, or a wait timed out.
    FAILED = 1
    #: The command line, the settings or the input do not fit; nothing was done.
    USAGE = 2
    #: The broker, the store or a provider cannot be reached.
    UNREACHABLE = 3
    #: Ctrl-C.
    INTERRUPTED = 130


class CommandError(Exception):
    """A command cannot go on; the message says why and what to do."""

    def __init__(self, message: str, *, code: ExitCode, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.details = details or {}


class ErrorBoundary(TyperGroup):
    """The command group through which every error passes."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line; ends the process with one of `ExitCode`."""
        arguments = list(sys.argv[1:] if args is None else args)
        as_json = "--json" in arguments
        _print_whatever_comes()
        with _boundary(arguments, as_json=as_json):
            # Typer prints usage errors well for people; for programs they must reach the boundary.
            ended = super().main(
                arguments,
                prog_name,
                complete_var,
                standalone_mode and not as_json,
                windows_expand_args,
                **extra,
            )
            sys.exit(ended if isinstance(ended, int) else ExitCode.OK)


def _print_whatever_comes() -> None:
    """Names of files and words of a command line need not be UTF-8; what is not is printed as its escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def _boundary(arguments: Sequence[str], *, as_json: bool) -> Iterator[None]:
    try:
        yield
    except typer.TyperException as error:
        _fail(error, error.format_message(), ExitCode(error.exit_code), as_json=as_json)
    except CommandError as error:
        _fail(error, str(error), error.code, as_json=as_json, details=error.details)
    except ConfigError as error:
        code = ExitCode.UNREACHABLE if isinstance(error, StoreError) else ExitCode.USAGE
        _fail(error, str(error), code, as_json=as_json)
    except ContractError as error:
        code = ExitCode.FAILED if isinstance(error, ExtractionFailed) else ExitCode.USAGE
        _fail(error, error.message, code, as_json=as_json, details=error.details)
    except Exception as error:
        found = _trouble(error, arguments)
        if found is None:
            raise
        cause, message, code = found
        _fail(cause, message, code, as_json=as_json)


def _trouble(error: Exception, arguments: Sequence[str]) -> tuple[Exception, str, ExitCode] | None:
    """What is behind an error that is none of ours: its cause, what to say, and how to end; None if nobody knows."""
    cause = broker_trouble(error)
    if cause is not None:
        message = (
            f"the broker does not answer: {_said(cause)}. Is it running, and is BYOM_BROKER_URL right? "
            "`byom up` starts one on this machine; `byom doctor` looks closer."
        )
        return cause, message, ExitCode.UNREACHABLE
    if isinstance(error, OSError) and error.errno in _UNWRITTEN and error.filename is None:
        _give_up_output()
        message = f"the output cannot be written: {error.strerror}; make room, or send it elsewhere"
        return error, message, ExitCode.FAILED
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return error, "a name on the command line is too long for a file; give one that there can be", ExitCode.USAGE
    if isinstance(error, UnicodeEncodeError) and (number := _not_utf8(arguments)):
        message = f"word {number} of the command line is no text in UTF-8; only names of files may be that"
        return error, message, ExitCode.USAGE
    return None


#: What writing to stdout fails with, other than a reader who has gone.
_UNWRITTEN: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
#: What the client of the broker says first: a number.
_NUMBER: Final = re.compile(r"^(\[Errno -?\d+\]|Error -?\d+) ")


def _said(cause: Exception) -> str:
    """What the broker's client says, without the system's number of the error."""
    return _NUMBER.sub("", str(cause)).rstrip(".")


def _give_up_output() -> None:
    """Have what is still to be written go nowhere, lest the interpreter fail at it once more as it ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _not_utf8(arguments: Sequence[str]) -> int | None:
    """The number of the first word that is not UTF-8, from 1; None when all are."""
    for number, word in enumerate(arguments, start=1):
        try:
            word.encode()
        except UnicodeEncodeError:
            return number
    return None


def broker_trouble(error: BaseException) -> Exception | None:
    """What the broker's client says, if that is behind an error: Celery wraps it in errors of many kinds."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, redis.RedisError | OperationalError):
            return link
        link = link.__cause__ or link.__context__
    return None


def _fail(
    error: Exception, message: str, code: ExitCode, *, as_json: bool, details: dict[str, Any] | None = None
) -> None:
    if as_json:
        document = {"type": type(error).__name__, "message": message, "exit_code": int(code), **(details or {})}
        sys.stderr.write(json.dumps({"error": document}, ensure_ascii=False) + "\n")
    else:
        err.print(f"[bold red]Error:[/] {escape(message)}")
    sys.exit(code)
