"""The interface between the engine and whatever decides who may call now.

    demand ─► admit ─► Lease ─► call ─► settle (or refund)
                 └──► Refusal: how long to wait, and for what

A vendor meters a credential and a model; so does admission, for all workers together. A refusal takes nothing. A lease
is held for the time of one call: settled with what the call really used, refunded when the vendor never counted it,
and expired when its worker dies.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from config.connections import EffectiveConnection
from tasks.contract import FailureCode, TokenUsage
from workers.providers.rate_limits import RateLimits


class Reason(StrEnum):
    """What a call has to wait for."""

    #: The bucket of tokens, or of output tokens, has to fill up.
    TOKENS = "tokens"
    REQUESTS = "requests"
    #: Too many calls are in flight.
    CONCURRENCY = "concurrency"
    #: The vendor said when to come back.
    RETRY_AFTER = "retry_after"
    #: The connection kept failing and is left alone for a while.
    BREAKER = "breaker"
    #: The vendor refused the credential; it waits for another one.
    CREDENTIAL = "credential"
    #: A spend cap is reached; not a rate limit, and never treated like one.
    BUDGET = "budget"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one call is expected to take."""

    #: Estimated tokens of the prompt, uncorrected; what the vendor counts instead is learned by admission.
    input_tokens: int
    #: The output cap of the request: no answer is longer. What answers really take is learned by admission.
    max_output_tokens: int
    #: Pico-USD per token; None where the price is not known.
    input_price: int | None = None
    output_price: int | None = None
    #: Seconds by which the call may take longer than others.
    longer: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The call may not be made now; nothing was taken."""

    reason: Reason
    #: Seconds after which it could be, as things stand.
    wait: float
    #: Whether to wait at all; False when the project wants its jobs to fail at a spend cap.
    final: bool = False
    #: For `BREAKER` and `CREDENTIAL`: why the connection is left alone. None while a trial call is under way.
    code: FailureCode | None = None


class Health(StrEnum):
    """What an answer says of the connection, for its breaker."""

    OK = "ok"
    #: The provider failed: down, overloaded, timed out.
    FAILING = "failing"
    #: Every call would fail likewise: no such model, no quota, no permission.
    FATAL = "fatal"
    #: Nothing: the fault was the episode's, or the limit's.
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What an answer told, beside the answer itself."""

    #: None where the answer does not tell, though the vendor may have counted: the estimate then stands.
    usage: TokenUsage | None = None
    #: Input tokens that count for the vendor's limit, where that is not the whole input.
    metered_input: int | None = None
    #: False when the vendor never counted the call: everything is given back.
    counted: bool = True
    #: Pico-USD; None where the price is not known: the estimate then stands.
    cost: int | None = None
    #: What the vendor's headers said of its own limits.
    limits: RateLimits | None = None
    #: The vendor refused the call for its rate.
    rate_limited: bool = False
    #: Seconds that the vendor asked to wait.
    retry_after: float | None = None
    health: Health = Health.NONE
    #: Why, when the health is bad.
    code: FailureCode | None = None


class Lease(Protocol):
    """Leave to make one call."""

    async def settle(self, observation: Observation) -> None:
        """Say what the call came to. Only the first of settling and refunding counts.

        Raises:
            redis.RedisError: the meters cannot be reached; the estimate then stands, and the lease runs out.
        """

    async def refund(self) -> None:
        """Give everything back: the call was not made.

        Raises:
            redis.RedisError: as `settle`.
        """


class Admission(Protocol):
    """Decides who may call now, for all workers together."""

    async def admit(
        self, effective: EffectiveConnection, demand: Demand, *, reservation: str | None = None
    ) -> Lease | Refusal:
        """Leave to make one call, or how long to wait for it. Never waits itself.

        Args:
            effective: the connection to call on.
            demand: what the call is expected to take.
            reservation: name of what was set aside for this call when its job was fetched; it is replaced by the
                lease in one step, and stays where leave is refused. One that is gone already is as good as none.

        Raises:
            redis.RedisError: the meters cannot be reached.
        """

    async def hold_back(
        self, effective: EffectiveConnection, *, reason: Reason, seconds: float, code: FailureCode
    ) -> None:
        """Let nobody call on a connection for a while, such as one whose credential was refused.

        Raises:
            redis.RedisError: as `admit`.
        """

    async def let_go(self, effective: EffectiveConnection, *, reason: Reason) -> None:
        """Take back what `hold_back` said for a reason.

        Raises:
            redis.RedisError: as `admit`.
        """

    async def release(self, effective: EffectiveConnection, *, reservation: str) -> None:
        """Give back what was set aside when a job was fetched, if it is still there and no lease took its place.

        Whoever is refused, or goes on without calling, is to do so: a refusal leaves the reservation as it is.

        Raises:
            redis.RedisError: as `admit`.
        """


class Budgets(Protocol):
    """The budgets alone, for calls that vendors meter apart from all others: batches."""

    async def earmark(self, effective: EffectiveConnection, *, name: str, cost: int) -> Refusal | int:
        """Set aside what a batch of calls is expected to cost; a name that did so before takes nothing more.

        Args:
            effective: the connection that they are made on.
            name: of the batch.
            cost: pico-USD.

        Returns:
            The day (since 1970, UTC) in whose budgets it was set aside; or how long to wait for a cap.

        Raises:
            redis.RedisError: as `Admission.admit`.
        """

    async def put_right(self, effective: EffectiveConnection, *, name: str, cost: int, day: int) -> None:
        """Replace what was set aside by what the calls cost; only the first time counts.

        Args:
            effective: as in `earmark`.
            name: as there.
            cost: pico-USD.
            day: as that answered.

        Raises:
            redis.RedisError: as `Admission.admit`.
        """
