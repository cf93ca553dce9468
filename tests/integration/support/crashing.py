"""For `celery worker --include`: a worker that meets an error which nobody foresaw, in project `crash`.

The error says in its own words, and in those of its cause, what must never be said: the secret in hand.
"""

from typing import Any

from workers import attempts
from workers.providers.base import Call
from workers.records import record_of as _record_of
from workers.trouble import Subject


def record_of(subject: Subject, call: Call, **rest: Any) -> Any:
    """As the function that it replaces, until the project says otherwise."""
    if subject.job.project == "crash":
        assert call.credential is not None
        secret = call.credential.secret.get_secret_value()
        raise ZeroDivisionError(f"nothing goes into {secret}") from LookupError(secret)
    return _record_of(subject, call, **rest)


vars(attempts)["record_of"] = record_of
