"""How a delivery of a job came out, in words that logs and traces share."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What became of one delivery. Names and numbers only: never what a customer said."""

    #: `job_accepted`, `job_duplicate`, `job_handed_off`, `job_parked`, `job_put_back`, `job_ended`, `job_refused`.
    event: str
    #: What is known of it, under names of our own.
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    #: The failure code of a job that failed.
    error: str | None = None
    #: Of the line in the log, by the numbers of `logging`.
    level: int = logging.INFO
