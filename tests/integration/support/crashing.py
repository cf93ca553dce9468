"""For `celery worker --include`: a worker that meets what nobody foresaw.

In project `crash` it is an error that says in its own words, and in those of its cause, what must never be said: the
secret in hand. In project `poison` it is the end of the process, before the call, as from a fault in a library; it
comes when the file `TEST_FUSE` is there, and all else stands still until then.
"""

import os
import time
from pathlib import Path
from typing import Any

from workers.engine import attempts
from workers.engine.records import record_of as _record_of
from workers.engine.records import tags_of as _tags_of
from workers.engine.trouble import Subject
from workers.providers.base import Call


def record_of(subject: Subject, call: Call, **rest: Any) -> Any:
    """As the function that it replaces, until the project says otherwise."""
    if subject.job.project == "crash":
        assert call.credential is not None
        secret = call.credential.secret.get_secret_value()
        raise ZeroDivisionError(f"nothing goes into {secret}") from LookupError(secret)
    return _record_of(subject, call, **rest)


def tags_of(subject: Subject, attempt: str) -> Any:
    """As the function that it replaces, until the project says otherwise."""
    if subject.job.project == "poison":
        fuse, deadline = Path(os.environ["TEST_FUSE"]), time.monotonic() + 30
        while not fuse.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os._exit(139)
    return _tags_of(subject, attempt)


vars(attempts)["record_of"] = record_of
vars(attempts)["tags_of"] = tags_of
