"""Beginning a backfill, or going on with it when it is there already."""

import os
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from workers.backfill.definition import WINDOW, Definition, Fingerprint
from workers.backfill.entries import BadLine, Defaults, parse_line
from workers.backfill.errors import BackfillError, SinkError
from workers.backfill.file import with_bit
from workers.backfill.select import Selection
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
    #: Expected cost of one job.
    expected_cost: Decimal | None = None
    #: Which lines are to be done; None: all.
    selection: Selection | None = None


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
    _check_out(out, here=not wish.cluster)
    lines, wanted = _lines(source, wish)
    definition = Definition(
        name=wish.name,
        project=wish.project,
        source=source,
        fingerprint=fingerprint,
        lines=lines,
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
        backfills.create(definition, orders=orders, wanted=wanted)
    except NameTaken:
        # By somebody else, a moment ago.
        return begin(backfills, wish, now=now)
    return True


def _lines(source: str, wish: Wish) -> tuple[int, bytes]:
    """How many lines are to be done, and which; without a selection lines are counted only, not read."""
    if wish.selection is None:
        return sum(1 for _ in read_lines(source)), b""
    count, bits = 0, bytearray(1)
    defaults = Defaults(project=wish.project, labels=wish.labels)
    for line in read_lines(source):
        entry = parse_line(line, defaults)
        if isinstance(entry, BadLine) or wish.selection.wants(entry):
            with_bit(bits, line.number)
            count += 1
    return count, bytes(bits)


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


def _check_out(out: str | None, *, here: bool) -> None:
    """See that results can be written, before anything is begun; not where workers do it, which may see other disks."""
    if out is None:
        return
    if not out.endswith(KINDS):
        raise SinkError(f"{out}: results are written to names that end with {', '.join(KINDS)}")
    if Path(out).exists():
        raise SinkError(f"{out} is there already; choose another --out, or remove it")
    folder = Path(out).parent
    if here and not folder.is_dir():
        raise SinkError(f"there is no folder {folder} to write results into; make it, or choose another --out")
    if here and not os.access(folder, os.W_OK | os.X_OK):
        raise SinkError(f"nothing may be written into {folder}; choose another --out, or let this user write there")
