"""How dead letters lie in Redis. Every script keeps to this; all of it is in one database of one server, no cluster.

byom:dead:job:<id>        hash  about   who failed where and why, as JSON: an `About`
                                sealed  what a replay needs, as JSON: a `Contents`; encrypted if there is a key
                                key     names the key that it is encrypted with; absent when it is in the clear
                                replays how often the job had been replayed when it ended so
                                claimed until when somebody is about to replay it, in seconds
                                replayed_at  when it was published again; absent while it is dead
                                It has a lifetime of its own, so that what customers said goes even if nobody looks.
byom:dead:all             zset  id → when the job ended, in seconds
byom:dead:project:<name>  zset  the same of one project
byom:dead:facts           hash  id → bytes, tab, code, tab, project, tab, `dead` or `replayed`
byom:dead:causes          hash  code → letters that are `dead`
byom:dead:bytes           string  of all letters together
byom:dead:dropped         hash  `limit`, `expired` → letters that went without having been replayed or discarded
byom:dead:told            string  there for an hour after an event told of dropped letters
"""

from typing import Final

PREFIX: Final = "byom:dead:"

ALL: Final = f"{PREFIX}all"
CAUSES: Final = f"{PREFIX}causes"
BYTES: Final = f"{PREFIX}bytes"
DROPPED: Final = f"{PREFIX}dropped"


def letter_key(job_id: str) -> str:
    """Key of the letter of one job."""
    return f"{PREFIX}job:{job_id}"


def project_key(project: str) -> str:
    """Key of the letters of one project."""
    return f"{PREFIX}project:{project}"
