"""Options that several commands share, and how their values are read."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal

import typer

from config.secret_looks import secret_kind
from tasks.contract.fields import is_identifier
from tasks.contract.limits import LIMITS
from workers.cli.console import one_line

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_DURATION = re.compile(r"(\d+)([mhd])")


def identifier(value: str | None) -> str | None:
    """Refuse names that could not be part of a path.

    Raises:
        BadParameter: the name is not an identifier, or looks like a key that was meant for another option.
    """
    if value is not None and not is_identifier(value):
        raise typer.BadParameter(
            f"use at most {LIMITS.name_chars} letters, digits, '.', '_' and '-', the first a letter or digit"
        )
    if value is not None and (kind := secret_kind(value)):
        raise typer.BadParameter(f"this looks like {kind}, not like a name; names are shown and stored in the clear")
    return value


def usd(text: str | Decimal) -> Decimal:
    """An amount in USD.

    Raises:
        BadParameter: it is none.
    """
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter("write an amount in USD, such as 5 or 12.50") from None
    if not amount.is_finite() or amount <= 0:
        raise typer.BadParameter("write an amount in USD above 0; without the option there is no cap")
    return amount


SpendCapDay = Annotated[
    Decimal | None,
    typer.Option("--spend-cap-day", metavar="USD", parser=usd, help="Spend per calendar day in UTC at most."),
]
SpendCapMonth = Annotated[
    Decimal | None,
    typer.Option("--spend-cap-month", metavar="USD", parser=usd, help="Spend per calendar month in UTC at most."),
]
OnSpendCapOption = Annotated[
    Literal["wait", "fail"] | None,
    typer.Option("--on-spend-cap", help="What jobs beyond a spend cap do; without it, wait."),
]
ProjectOption = Annotated[
    str | None,
    typer.Option("--project", "-p", help="The project; where it is not said elsewhere.", callback=identifier),
]
RequiredProject = Annotated[str, typer.Option("--project", "-p", help="The project.", callback=identifier)]
ConnectionName = Annotated[str, typer.Option("--name", help="Name of the connection.", callback=identifier)]


def since(text: str, *, now: datetime, option: str = "--since") -> datetime:
    """An instant from `90m`, `24h`, `7d`, or a date or time in ISO 8601 (without an offset: UTC); `option` said so.

    Raises:
        BadParameter: it is none of these.
    """
    if match := _DURATION.fullmatch(text):
        try:
            return now - int(match.group(1)) * _UNITS[match.group(2)]
        except OverflowError:
            raise _bad(option, f"'{one_line(text)}' is further back than dates go") from None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _bad(option, f"'{one_line(text)}' is neither a span such as 24h or 7d nor an ISO 8601 date") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _bad(option: str, said: str) -> typer.BadParameter:
    """A value of an option that is read after the others; named as the parser of the command line names them."""
    return typer.BadParameter(said, param_hint=f"'{option}'")
