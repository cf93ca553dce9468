"""How backfills lie in Redis. Every script keeps to this; all of it is in one database of one server, no cluster.

    byom:backfills                 zset  name → when it was created, in seconds
    byom:backfill:<name>           hash  definition (JSON); phase, why, changed (ms); cluster (1: workers drive it);
                                         budget (USD), window; read (the last line that was taken in hand); sink (how
                                         far it is written, in its own words); ended (ms, when all was wound up);
                                         driver, until (ms), token: who drives, until when, the how-manyeth;
                                         writes (of drivers so far); n:<what> (sums, whole numbers)
    byom:backfill:<name>:wanted    string  a bit for each line of the file, set where it is to be done; absent: all are
    byom:backfill:<name>:flight    hash  job → 0 or 1 (whether it is with the broker), then its lines as JSON
    byom:backfill:<name>:ended     hash  job of `flight` → how it ended, as JSON: the inbox that workers fill
    byom:backfill:<name>:order     list  jobs of `ended`, the oldest on the left
    byom:backfill:<name>:seen:<n>  string  ids of all entries taken in hand so far, 16 bytes each; n is 0…4095, the
                                         first twelve bits of the id

A line is done when it was read (up to `read`) and is not in `flight`. What is in flight is bounded by the window, and
so is the inbox: it takes endings of what is in flight only. `seen` is what grows with the file, by 16 bytes an entry.

All of it but `seen` and what is in flight stays when a backfill is over, for RETENTION.
"""

from typing import Final

NAMES: Final = "byom:backfills"

#: Seconds that the report of a backfill is kept after its end.
RETENTION: Final = 90 * 86_400


def main_key(name: str) -> str:
    """Key of the hash that holds a backfill."""
    return f"byom:backfill:{name}"


def wanted_key(name: str) -> str:
    """Key of the lines that are to be done."""
    return f"{main_key(name)}:wanted"


def flight_key(name: str) -> str:
    """Key of its jobs in flight."""
    return f"{main_key(name)}:flight"


def ended_key(name: str) -> str:
    """Key of the endings that are not in the sink yet."""
    return f"{main_key(name)}:ended"


def order_key(name: str) -> str:
    """Key of the order in which these came."""
    return f"{main_key(name)}:order"


def seen_key(name: str) -> str:
    """Where the keys of the ids begin that were taken in hand."""
    return f"{main_key(name)}:seen:"


def inbox_keys(name: str) -> list[str]:
    """Keys of the script that takes an ending in."""
    return [flight_key(name), ended_key(name), order_key(name)]
