"""What a task says when its job has to wait: `raise Reject(Parked(…), requeue=True)`, or `Collected`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """The job goes back to the head of its lane, and the lane waits."""

    #: Seconds until another try is worth it.
    seconds: float
    #: For what, in a word: a `workers.admission.Reason`.
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """The job leaves its lane and waits for a batch."""

    job_id: str
    project: str
    connection: str
