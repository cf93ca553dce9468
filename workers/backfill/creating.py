"""Beginning a backfill, or going on with it when it is there already."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from workers.backfill.definition import WINDOW, Definition, Fingerprint
from workers.backfill.errors import BackfillError, SinkError
from workers.backfill.sinks import KINDS
from workers.backfill.source import STDIN, read_lines
from workers.backfill.state import Backfills, NameTaken, Orders, Phase, UnknownBackfill


class NotTheSame(BackfillError):
    """A backfill of this name does something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants a backfill to be."""

    name: str
    project: str
    #: As it was given.
    source: str
    out: str | None = None
    ordered: bool = False
    window: int = WINDOW
    budget: Decimal | None = None
    callback_url: str | None = None
    labels: dict[str, str]
    pack_tokens: int | None = None
    economy: bool = False
    cluster: bool = False
    #: Expected cost of one line.
    expected_cost: Decimal | None = None


def begin(backfills: Backfills, wish: Wish, *, now: datetime) -> bool:
    """Create a backfill, unless the very same is there already; whether it is new.

    Raises:
        NotTheSame: one of this name does something else.
        SourceError: its file cannot be read to its end, or not be read again.
        SinkError: the place for its results is taken.
    """
    if wish.source == STDIN:
        raise BackfillError(
            "a backfill reads its lines again when it goes on after a crash, and stdin cannot be read twice; write it "
            "to a file first"
        )
    source = str(Path(wish.source).resolve())
    out = None if wish.out is None else str(Path(wish.out).resolve())
    fingerprint = Fingerprint.of(source)
    try:
        known = backfills.open(wish.name).load().definition
    except UnknownBackfill:
        pass
    else:
        _compare(known, wish, source=source, out=out, fingerprint=fingerprint)
        return False
    _check_out(out)
    definition = Definition(
        name=wish.name,
        project=wish.project,
        source=source,
        fingerprint=fingerprint,
        lines=sum(1 for _ in read_lines(source)),
        out=out,
        ordered=wish.ordered,
        callback_url=wish.callback_url,
        labels=wish.labels,
        pack_tokens=wish.pack_tokens,
        economy=wish.economy,
        expected_cost=None if wish.expected_cost is None else format(wish.expected_cost, "f"),
        created_at=now,
    )
    orders = Orders(phase=Phase.RUNNING, window=wish.window, budget=wish.budget, cluster=wish.cluster)
    try:
        backfills.create(definition, orders=orders)
    except NameTaken:
        # By somebody else, a moment ago.
        return begin(backfills, wish, now=now)
    return True


def _compare(known: Definition, wish: Wish, *, source: str, out: str | None, fingerprint: Fingerprint) -> None:
    pairs = {
        "the project": (known.project, wish.project),
        "the file": (known.source, source),
        "the file's content": (known.fingerprint, fingerprint),
        "--out": (known.out, out),
        "--ordered": (known.ordered, wish.ordered),
        "--callback-url": (known.callback_url, wish.callback_url),
        "--label": (known.labels, wish.labels),
        "--pack": (known.pack_tokens, wish.pack_tokens),
        "--economy": (known.economy, wish.economy),
    }
    if other := [what for what, (before, now) in pairs.items() if before != now]:
        raise NotTheSame(
            f"a backfill is called '{wish.name}' already, and differs in {', '.join(other)}. Choose another --name, or "
            f"go on with that one as it is: byom backfill resume {wish.name}"
        )


def _check_out(out: str | None) -> None:
    if out is None:
        return
    if not out.endswith(KINDS):
        raise SinkError(f"{out}: results are written to names that end with {', '.join(KINDS)}")
    if Path(out).exists():
        raise SinkError(f"{out} is there already; choose another --out, or remove it")
