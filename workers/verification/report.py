"""What came of a verification: its checks, in the user's terms, and what it cost. Values only."""

from decimal import Decimal
from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from tasks.contract import ProviderKind, TokenUsage


class CheckName(StrEnum):
    """What is looked at, in the order in which one rests on the other."""

    ENDPOINT = "endpoint"
    CREDENTIAL = "credential"
    PERMISSION = "permission"
    MODEL = "model"
    STRUCTURED_OUTPUT = "structured_output"
    REASONING_OFF = "reasoning_off"
    #: When the vendor switches the model off.
    LIFECYCLE = "lifecycle"


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    #: Jobs will run, but something costs more than it must, or will not last.
    WARNING = "warning"
    FAILED = "failed"
    #: A check before it failed, or the provider does not tell.
    SKIPPED = "skipped"


class Problem(StrEnum):
    """What is wrong, for programs."""

    BAD_KEY = "bad_key"
    EXPIRED_KEY = "expired_key"
    #: No key where one is needed.
    MISSING_KEY = "missing_key"
    MISSING_PERMISSION = "missing_permission"
    UNKNOWN_MODEL = "unknown_model"
    WRONG_ENDPOINT = "wrong_endpoint"
    NO_NETWORK = "no_network"
    #: The key is good, and the account behind it has no money or no quota.
    QUOTA_EXHAUSTED = "quota_exhausted"
    #: Nothing that the user could mend; it may pass.
    RATE_LIMITED = "rate_limited"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    #: The provider does not take what extraction has to send.
    UNSUPPORTED_REQUEST = "unsupported_request"
    #: The model answers, but not as extraction needs it.
    UNUSABLE_OUTPUT = "unusable_output"
    #: This machine lacks something of its own, such as AWS credentials.
    WORKER_SETUP = "worker_setup"


class _Value(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Check(_Value):
    """One thing that was looked at."""

    name: CheckName
    status: Status
    message: str
    #: What to do about it; empty when there is nothing to do.
    mend: str = ""
    #: Set when the check failed.
    problem: Problem | None = None


class Attempt(_Value):
    """One real call that was made, and what it cost."""

    started_at: AwareDatetime
    #: Seconds; 0 when nothing was sent.
    latency: float
    #: `ok`, or the kind of fault.
    outcome: str
    usage: TokenUsage
    #: USD; None when the price is not known.
    cost_usd: Decimal | None
    served_model: str | None = None
    request_id: str | None = None


class Verification(_Value):
    """Whether a connection works, and if not, why."""

    project: str
    connection: str
    provider: ProviderKind
    model: str
    #: None for servers without keys; 0 for a credential that is not saved yet.
    credential_version: int | None
    #: One per `CheckName`, in that order.
    checks: tuple[Check, ...]
    #: Every call of the model; lists of models are free and not among them.
    attempts: tuple[Attempt, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether jobs can run; warnings are allowed."""
        return self.failure is None

    @property
    def failure(self) -> Check | None:
        """The check that failed."""
        return next((check for check in self.checks if check.status is Status.FAILED), None)

    @property
    def warnings(self) -> list[Check]:
        """The checks with a warning."""
        return [check for check in self.checks if check.status is Status.WARNING]

    @property
    def usage(self) -> TokenUsage:
        """Tokens of all attempts."""
        return sum((attempt.usage for attempt in self.attempts), TokenUsage())

    @property
    def cost_usd(self) -> Decimal | None:
        """USD of all attempts; None when the price of any that used tokens is not known."""
        costs = [attempt.cost_usd for attempt in self.attempts if attempt.usage.total]
        known = [cost for cost in costs if cost is not None]
        return sum(known, Decimal(0)) if len(known) == len(costs) else None

    @property
    def latency(self) -> float:
        """Seconds of all attempts."""
        return sum(attempt.latency for attempt in self.attempts)

    def as_json(self) -> dict[str, Any]:
        """A JSON document; decimals are strings."""
        failure, cost = self.failure, self.cost_usd
        return {
            "ok": self.ok,
            "problem": failure.problem if failure else None,
            **self.model_dump(mode="json"),
            "usage": self.usage.model_dump(),
            "cost_usd": None if cost is None else format(cost, "f"),
            "latency": round(self.latency, 3),
        }
