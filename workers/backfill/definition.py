"""What a backfill was asked to do. Fixed when it is created; what may change meanwhile is in its state."""

import hashlib
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from tasks.contract.fields import Identifier
from workers.backfill.errors import SourceChanged, SourceError

#: The label that all jobs of a backfill carry; its value is the backfill's name.
LABEL: Final = "backfill"

#: Lines in flight unless another number is asked for: enough to keep a thousand calls busy, some megabytes of results.
WINDOW: Final = 1_000

#: Bytes at either end of a file by which it is known again.
_SAMPLE: Final = 2**20

_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "byom:backfill")


class _Kept(BaseModel):
    """Kept in Redis; what newer commands write, older ones read."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Fingerprint(_Kept):
    """By what a file is known again."""

    #: Bytes.
    size: int
    mtime_ns: int
    #: Of its first and last megabyte.
    sha256: str

    @classmethod
    def of(cls, path: str) -> "Fingerprint":
        """The fingerprint of a file as it is now.

        Raises:
            SourceError: it cannot be read.
        """
        digest = hashlib.sha256()
        try:
            told = Path(path).stat()
            with Path(path).open("rb") as file:
                digest.update(file.read(_SAMPLE))
                file.seek(max(0, told.st_size - _SAMPLE))
                digest.update(file.read(_SAMPLE))
        except OSError as error:
            raise SourceError(
                f"cannot read {path}: {error.strerror or type(error).__name__}. A backfill reads its file until its "
                "end, so it must stay where it is, and be there for each process that drives it"
            ) from error
        return cls(size=told.st_size, mtime_ns=told.st_mtime_ns, sha256=digest.hexdigest())


class Definition(_Kept):
    """One backfill."""

    name: Identifier
    project: Identifier
    #: Absolute path of the file.
    source: str
    fingerprint: Fingerprint
    #: How many lines are to be done; blank ones don't count.
    lines: int
    #: Absolute path of the sink; absent: results go to the result backend alone.
    out: str | None = None
    #: Whether the sink has the order of the file.
    ordered: bool = False
    callback_url: str | None = None
    #: Of every job, beside `backfill`.
    labels: dict[str, str] = {}
    pack_tokens: Annotated[int, Field(ge=1)] | None = None
    economy: bool = False
    #: Expected cost of one job in USD, for the time until the first have ended; absent: unknown.
    expected_cost: str | None = None
    created_at: datetime

    def check_source(self) -> None:
        """See that the file is the one that the backfill began with.

        Raises:
            SourceChanged: it is not.
            SourceError: it cannot be read.
        """
        now = Fingerprint.of(self.source)
        before = self.fingerprint
        if now == before:
            return
        changed = [
            what
            for what, differs in (
                (f"its size ({before.size:,} bytes then, {now.size:,} now)", now.size != before.size),
                ("its time of change", now.mtime_ns != before.mtime_ns),
                ("its content", now.sha256 != before.sha256),
            )
            if differs
        ]
        raise SourceChanged(
            f"{self.source} is not the file that backfill '{self.name}' began with: {', '.join(changed)} differ. "
            "Lines would be missed or done twice. Put the first file back, or cancel this backfill and run the new "
            "file under another --name"
        )


def job_id_of(name: str, entry_ids: Sequence[str]) -> str:
    """The id of the job of one entry, or of several that share a job: the same whenever it is asked for."""
    return str(uuid.uuid5(uuid.uuid5(_NAMESPACE, name), " ".join(entry_ids)))
