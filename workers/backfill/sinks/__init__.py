"""Where the results of a backfill go: a file of JSON Lines, plain or gzip, a folder of Parquet files, or nowhere."""

from pathlib import Path

from workers.backfill.errors import SinkError

from .base import NoSink, Sink
from .jsonl import JsonlSink

#: Endings of names, and what they mean.
KINDS = (".jsonl", ".jsonl.gz", ".parquet")

__all__ = ["KINDS", "JsonlSink", "NoSink", "Sink", "sink_for"]


def sink_for(path: str | None) -> Sink:
    """The sink of a path, by the ending of its name; None: results are written nowhere.

    Raises:
        SinkError: nothing is known by this ending, or what it takes is not installed.
    """
    if path is None:
        return NoSink()
    if path.endswith(".jsonl"):
        return JsonlSink(Path(path))
    if path.endswith(".jsonl.gz"):
        return JsonlSink(Path(path), compress=True)
    if path.endswith(".parquet"):
        try:
            from .parquet import ParquetSink  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise SinkError(
                f"writing Parquet needs the extra 'parquet' ({error}); install it with: "
                "pip install 'byom-workers[parquet]', or choose --out NAME.jsonl.gz"
            ) from None
        return ParquetSink(Path(path))
    raise SinkError(f"{path}: results are written to names that end with {', '.join(KINDS)}")
