"""What one job of a backfill is expected to cost, for the time until the first have shown it."""

from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Final

from config.catalogue import load_catalogue
from config.connections import EffectiveConnection
from config.settings import Settings
from workers.backfill.creating import Wish
from workers.backfill.entries import Defaults, Entry, parse_line
from workers.backfill.estimate import Estimator
from workers.backfill.source import read_lines
from workers.backfill.standing import read_standings

#: Lines that are looked at.
_SAMPLE: Final = 200


def expected_cost(settings: Settings, primary: EffectiveConnection, wish: Wish, *, now: datetime) -> Decimal | None:
    """USD of one job on the primary connection, by the first lines of the file; None where that is not known.

    Raises:
        SourceError: the file cannot be read.
        redis.RedisError: the broker cannot be asked what calls took so far.
    """
    standings = read_standings(settings.redis_url, [primary], catalogue=load_catalogue(), now=now)
    estimator = Estimator(standings, packs=(wish.pack_tokens,), floor=settings.backfill_floor, now=now)
    for line in islice(read_lines(wish.source), _SAMPLE):
        entry = parse_line(line, Defaults(project=wish.project, pack_tokens=wish.pack_tokens))
        if isinstance(entry, Entry):
            estimator.add(entry)
    [option] = estimator.estimate().options
    if not option.jobs or option.cost is None:
        return None
    return option.cost.expected / option.jobs
