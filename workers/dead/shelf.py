"""The dead letters as commands and metrics see them: looking, taking in hand for a replay, throwing away."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, cast

import redis

from workers.dead.keys import ALL, BYTES, CAUSES, DROPPED, letter_key, project_key
from workers.dead.letter import Contents, Letter
from workers.dead.sealing import Sealing
from workers.redis.lua import lua

_SHARED = (("workers.dead", "dead"),)

#: Letters that one look brings, without their contents.
PAGE = 200

#: Fields of a letter that are not its contents.
_SEEN = ("about", "replays", "replayed_at", "key")


class Limits(NamedTuple):
    """How many letters are kept, and for how long."""

    #: Seconds.
    ttl: int = 2_592_000
    letters: int = 100_000
    #: Bytes of all together.
    size: int = 536_870_912


class Grip(StrEnum):
    """What came of taking a letter in hand."""

    CLAIMED = "claimed"
    #: Somebody else has it in hand.
    BUSY = "busy"
    #: It was replayed and has not ended yet.
    REPLAYED = "replayed"
    #: It is not there any more: its job succeeded, or it was discarded, or its time was over.
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """How many letters there are."""

    #: Those that are dead and those whose replay has not ended yet.
    letters: int
    #: Code → letters that are dead.
    causes: dict[str, int]
    bytes: int
    #: Letters that gave way because there were too many, and that went when their time was over.
    dropped: int
    expired: int


class Shelf:
    """The dead letters of one pool. Safe for threads, as its client is.

    All methods raise `redis.RedisError` when the server cannot be asked.
    """

    def __init__(self, client: redis.Redis) -> None:
        """Take the client of the broker."""
        self._client = client
        self._claim = client.register_script(lua("workers.dead", "claim", uses=_SHARED))
        self._mark = client.register_script(lua("workers.dead", "mark", uses=_SHARED))
        self._recall = client.register_script(lua("workers.dead", "recall", uses=_SHARED))
        self._remove = client.register_script(lua("workers.dead", "remove", uses=_SHARED))
        self._expire = client.register_script(lua("workers.dead", "expire", uses=_SHARED))

    def pages(
        self,
        *,
        project: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        newest_first: bool = False,
        size: int = PAGE,
    ) -> Iterator[list[Letter]]:
        """Letters in the order in which their jobs ended, page by page; what comes in meanwhile may be among them.

        Args:
            project: only of this one.
            since: only of jobs that ended then or later.
            until: only of jobs that ended before.
            newest_first: the other way round.
            size: letters of a page.
        """
        key = ALL if project is None else project_key(project)
        low = "-inf" if since is None else f"{since.timestamp():.6f}"
        high = "+inf" if until is None else f"({until.timestamp():.6f}"
        start, stop = (high, low) if newest_first else (low, high)
        #: Those of the last moment that were seen already: several may have ended at once.
        seen: set[bytes] = set()
        while True:
            found = cast(
                "list[tuple[bytes, float]]",
                self._client.zrange(
                    key, start, stop, desc=newest_first, byscore=True, offset=0, num=size + len(seen), withscores=True
                ),
            )
            fresh = [(name, score) for name, score in found if name not in seen]
            if not fresh:
                return
            letters = self.some([name.decode() for name, _ in fresh])
            if letters:
                yield letters
            last = fresh[-1][1]
            seen = {name for name, score in found if score == last}
            start = f"{last:.6f}"

    def some(self, job_ids: Sequence[str]) -> list[Letter]:
        """The letters of these jobs, as far as there are any."""
        with self._client.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.hmget(letter_key(job_id), _SEEN)
            rows: list[list[bytes | None]] = pipeline.execute()
        fields = [
            {name.encode(): value for name, value in zip(_SEEN, row, strict=True) if value is not None} for row in rows
        ]
        return [Letter.of(one) for one in fields if one]

    def contents(self, letter: Letter, sealing: Sealing) -> Contents | None:
        """What a replay of a letter needs; None when the letter is gone, or another has taken its place.

        Raises:
            Sealed: they cannot be read here.
        """
        row = self._client.hmget(letter_key(letter.id), ["sealed", "key", "replays"])
        sealed, key, replays = cast("list[bytes | None]", row)
        if sealed is None or replays is None or int(replays) != letter.replays:
            return None
        text = sealing.open(sealed.decode(), key=None if key is None else key.decode(), job_id=letter.id)
        return Contents.model_validate_json(text)

    def claim(self, job_ids: Sequence[str], *, now: float, seconds: float, again: bool = False) -> list[Grip]:
        """Take letters in hand for a replay.

        Args:
            job_ids: their jobs.
            now: seconds since 1970.
            seconds: until somebody else may take them, should whoever has them die.
            again: also those that were replayed and have not ended.
        """
        words: list[bytes] = self._claim(args=[f"{now:.6f}", seconds, int(again), *job_ids])
        return [Grip(word.decode()) for word in words]

    def replayed(self, letter: Letter, *, now: float) -> bool:
        """Note that a letter is on its way again; False when its job has ended anew, or it is gone."""
        return bool(self._mark(args=[letter.id, letter.replays, "replayed", f"{now:.6f}"]))

    def leave(self, letter: Letter) -> None:
        """Let go of a letter that was taken in hand and not replayed."""
        self._mark(args=[letter.id, letter.replays, "left", ""])

    def recall(self, job_id: str, *, replays: int) -> None:
        """Note that an operator ended a replay while it waited: the letter is dead again, if there is one."""
        self._recall(args=[job_id, replays])

    def remove(self, job_ids: Sequence[str]) -> int:
        """Throw letters away; how many there were."""
        return int(self._remove(args=list(job_ids))) if job_ids else 0

    def expire(self, *, before: float) -> int:
        """Throw away what ended before a moment, in seconds since 1970; how many."""
        gone = 0
        while count := int(self._expire(args=[f"{before:.6f}"])):
            gone += count
        return gone

    def census(self) -> Census:
        """How many letters there are; some commands, whatever the number."""
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.zcard(ALL)
            pipeline.hgetall(CAUSES)
            pipeline.get(BYTES)
            pipeline.hgetall(DROPPED)
            letters, causes, size, dropped = cast("Any", pipeline.execute())
        return Census(
            letters=letters,
            causes={name.decode(): int(count) for name, count in causes.items()},
            bytes=int(size or 0),
            dropped=int(dropped.get(b"limit", 0)),
            expired=int(dropped.get(b"expired", 0)),
        )


def matching(pages: Iterator[list[Letter]], wanted: Callable[[Letter], bool]) -> Iterator[list[Letter]]:
    """Those of each page that are wanted; pages without any are left out."""
    for page in pages:
        if found := [letter for letter in page if wanted(letter)]:
            yield found
