"""Where something stands that must not be seen: secrets nowhere, episodes not where only operators look."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import httpx

from tests.chaos.keys import LENT, SECRET, TEXT, workers_key
from tests.chaos.scenario import Run
from tests.integration.support.pool import everything_in, holds

#: What the store is encrypted with; the one file in which a secret may stand.
_STORE_KEY: Final = "store.json.key"
#: Seconds that a worker may take to show its metrics, on a machine that is busy.
_PATIENCE: Final = 30.0


def spilled(run: Run, seen: Mapping[str, str]) -> Iterator[str]:
    """All places after a run.

    Args:
        run: that is over.
        seen: what pages and commands showed, by name.
    """
    folder = run.place.folder
    shown = [(name, text.encode()) for name, text in seen.items()]
    yield from holding([*logged(folder), *shown], [TEXT])
    broker = (("Valkey", everything_in(run.place.client)),)
    texts = chain(logged(folder), shown, written(folder), broker, _shown_by_workers(run))
    yield from holding(texts, marks(run, folder))


def marks(run: Run, folder: Path) -> Sequence[str]:
    """Parts of all credentials, the workers' own and lent ones included, and what the store is encrypted with."""
    found = {SECRET, *LENT, (folder / _STORE_KEY).read_text(encoding="utf-8").strip()}
    found.update(*(link.marks for link in run.links.values()))
    found.update(*(workers_key(worker.number).marks for worker in run.workers))
    return sorted(found)


def holding(texts: Iterable[tuple[str, bytes]], looked_for: Sequence[str]) -> Iterator[str]:
    """Names of those in which any of it stands, plainly or as base64."""
    yield from (name for name, text in texts if any(holds(text, one) for one in looked_for))


def logged(folder: Path) -> Iterator[tuple[str, bytes]]:
    """All that workers, Flower and commands logged."""
    for path in sorted(folder.glob("*.log")):
        yield path.name, path.read_bytes()


def written(folder: Path) -> Iterator[tuple[str, bytes]]:
    """All that stands in any other file, such as what the broker ever wrote to its own, and the encrypted store."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".log" and path.name != _STORE_KEY:
            yield str(path.relative_to(folder)), path.read_bytes()


def _shown_by_workers(run: Run) -> Iterator[tuple[str, bytes]]:
    """What they show to whoever asks: their metrics, and the commands that they run as."""
    for worker in run.workers:
        metrics = httpx.get(f"http://127.0.0.1:{worker.metrics_port}/metrics", timeout=_PATIENCE)
        yield f"the metrics of worker {worker.number}", metrics.content
        command = Path(f"/proc/{worker.process.pid}/cmdline") if worker.process is not None else None
        if command is not None and command.exists():
            yield f"the command of worker {worker.number}", command.read_bytes()
