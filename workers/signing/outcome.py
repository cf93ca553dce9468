"""What may come of looking at a signature, and how it is told. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """What came of looking at a signature."""

    VALID = "valid"
    #: There was none, and none is required.
    UNSIGNED = "unsigned"
    #: There was none.
    MISSING = "missing"
    #: What is there is no signature, or nothing that could have been signed.
    UNREADABLE = "unreadable"
    UNKNOWN_PRODUCER = "unknown_producer"
    #: It is not of this job and this producer's key.
    WRONG = "wrong"
    OTHER_PROJECT = "other_project"
    #: It is too old, or of a time that is still to come.
    OUT_OF_TIME = "out_of_time"
    #: What follows the job claims a place in the lanes.
    CLAIMS_LANE = "claims_lane"


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """What came of looking at one message."""

    outcome: Outcome
    #: The producer, where there is one of the name that the message gives.
    producer: str | None = None
    #: Why the message was refused and what to do, or empty.
    message: str = ""

    @property
    def as_alert(self) -> str:
        """What an operator is told; of the job and its project nothing that is not proved."""
        who = "a producer that is not known" if self.producer is None else f"producer '{self.producer}'"
        return (
            f"jobs in the name of {who} are refused ({self.outcome}): {_ALERTS[self.outcome]}. Further ones are "
            "counted in byom_signatures_total and not told for a minute"
        )


#: Why a message is refused, for whoever sent it.
_MENDS: Final[dict[Outcome, str]] = {
    Outcome.MISSING: "it is not signed. Sign it with the key of a producer (docs/signing.md)",
    Outcome.UNREADABLE: "its signature cannot be read. Send producer, timestamp and signature as docs/signing.md says",
    Outcome.UNKNOWN_PRODUCER: "there is no producer of the name that it gives. See: byom producer list",
    Outcome.WRONG: "its signature is not that of producer '{producer}' over this job and its id. Sign the payload as "
    "it is sent, with the key that `byom producer key {producer}` prints",
    Outcome.OTHER_PROJECT: "producer '{producer}' may not speak for project '{project}'. To let it: "
    "byom producer add {producer} --projects …",
    Outcome.OUT_OF_TIME: "it was signed too long ago, or at a time to come. A signature counts for {seconds} seconds "
    "(BYOM_JOB_STATE_TTL); look at the producer's clock, sign the job anew and send it again",
    Outcome.CLAIMS_LANE: "what is to follow it claims a place in the pool's lanes. Send plain tasks in `link` and "
    "`chain`",
}


#: The same, for whoever runs the pool.
_ALERTS: Final[dict[Outcome, str]] = {
    Outcome.MISSING: "they are not signed. If they are yours, let their producer sign them (byom producer add); "
    "BYOM_SIGNED_JOBS=optional takes them until then",
    Outcome.UNREADABLE: "their signature cannot be read. See what their producer sends",
    Outcome.UNKNOWN_PRODUCER: "there is none of the name that they give (byom producer list)",
    Outcome.WRONG: "the signature does not fit. Either the producer has an old key or signs something else, or "
    "somebody uses its name",
    Outcome.OTHER_PROJECT: "they are of projects that it may not speak for (byom producer add)",
    Outcome.OUT_OF_TIME: "they were signed too long ago, or at a time to come. Its clock is wrong, no worker took "
    "jobs for long, or somebody sends copies",
    Outcome.CLAIMS_LANE: "what is to follow them claims a place in the pool's lanes, which no producer needs",
}


def refusal(outcome: Outcome, *, producer: str | None, project: str, seconds: float) -> str:
    """Why a message is refused and what to do, for whoever sent it."""
    why = _MENDS[outcome].format(producer=producer, project=project, seconds=round(seconds))
    return f"The job was refused: {why}."
