"""How a project's connections stand: what is known of their calls, their limits, what waits, and what is spent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from config.catalogue import Catalogue, ModelFacts
from config.connections import EffectiveConnection
from workers.admission import MeterState
from workers.admission.budget import usd
from workers.admission.control import Meters
from workers.admission.declared import Declared
from workers.admission.state import SpendState
from workers.backfill.expectation import LEAST_CALLS, Expectation
from workers.backfill.history import History, read_histories
from workers.backfill.pace import Cap
from workers.lanes.views import LaneView, list_lanes
from workers.ledger.stream import RecordStream
from workers.redis.impatient import connect


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """What comes back of something in a minute, and what is there now."""

    per_minute: float
    level: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One connection."""

    link: EffectiveConnection
    model: ModelFacts
    expectation: Expectation
    #: None where nothing limits.
    tokens: Supply | None = None
    output_tokens: Supply | None = None
    requests: Supply | None = None
    at_once: int | None = None
    #: What waits for its meter, of all projects.
    waiting_jobs: int = 0
    waiting_tokens: int = 0
    #: What live jobs take of it in a minute.
    live_requests: float = 0.0
    live_input: float = 0.0
    live_output: float = 0.0
    caps: Sequence[Cap] = ()
    #: Whether jobs beyond one of these caps fail.
    fails_at_cap: bool = False
    #: Why nobody calls now; None where nothing stands in the way.
    blocked: str | None = None


def read_standings(
    url: str, links: Sequence[EffectiveConnection], *, catalogue: Catalogue, now: datetime, sample: str | None = None
) -> list[Standing]:
    """How connections of one project stand, in their order.

    Args:
        url: of the Redis that has meters, lanes and records.
        links: the connections.
        catalogue: knows their models.
        now: what time it is.
        sample: the jobs whose calls tell what is to be expected, as `read_histories`; of connections that had none of
            them, all jobs do.

    Raises:
        redis.RedisError: it does not answer.
        UnknownModel: a model is neither in the catalogue nor marked unverified.
    """
    with connect(url) as client:
        states = Meters(client).read(links)
        lanes = list_lanes(client)
        stream = RecordStream(client)
        histories = read_histories(stream, links, now=now)
        if sample is not None:
            sampled = read_histories(stream, links, now=now, sample=sample)
            histories = [
                own if len(own.calls) >= LEAST_CALLS else all_ for own, all_ in zip(sampled, histories, strict=True)
            ]
    return [
        _standing(link, state, history, lanes, catalogue=catalogue)
        for link, state, history in zip(links, states, histories, strict=True)
    ]


def _standing(
    link: EffectiveConnection, state: MeterState, history: History, lanes: Sequence[LaneView], *, catalogue: Catalogue
) -> Standing:
    connection = link.connection
    declared = Declared.of(connection)
    own = [lane for lane in lanes if (lane.tenant, lane.meter) == (link.tenant, link.key)]
    capped = [spend for spend in state.spends if spend.cap is not None]
    whole = link.profile
    fails = {None: whole.on_spend_cap == "fail", connection.name: connection.on_spend_cap == "fail"}

    def supply(level: str, capacity: float | None, refill: float | None) -> Supply | None:
        bucket = getattr(state, level)
        if bucket is not None:
            return Supply(per_minute=bucket.learned_per_minute, level=bucket.level)
        # A meter that was never used is full.
        return Supply(per_minute=refill * 60, level=capacity) if capacity and refill else None

    return Standing(
        link=link,
        model=catalogue.find(connection.provider, connection.model, unverified=connection.unverified),
        expectation=_expectation(state, history),
        tokens=supply("tokens", declared.tpm_capacity, declared.tpm_refill),
        output_tokens=supply("output_tokens", declared.output_tpm_capacity, declared.output_tpm_refill),
        requests=supply("requests", declared.rpm_capacity, declared.rpm_refill),
        at_once=connection.max_concurrency,
        waiting_jobs=sum(lane.depth for lane in own),
        waiting_tokens=sum(lane.tokens for lane in own),
        live_requests=history.live_requests,
        live_input=history.live_input,
        live_output=history.live_output,
        caps=[_cap(spend) for spend in capped],
        fails_at_cap=any(fails[spend.connection] for spend in capped),
        blocked=state.blocked_by.value if state.blocked_by else None,
    )


def _expectation(state: MeterState, history: History) -> Expectation:
    """From calls where there are enough of them, else from the meter, which other projects may share."""
    if len(history.calls) >= LEAST_CALLS:
        return Expectation.of_calls(history.calls, wasted=history.wasted)
    if state.answers >= LEAST_CALLS and state.average_output:
        return Expectation.of_averages(
            ratio=state.input_ratio,
            output=state.average_output,
            deviation=state.output_deviation or 0.0,
            answers=state.answers,
        )
    return Expectation.usual()


def _cap(spend: SpendState) -> Cap:
    assert spend.cap is not None  # noqa: S101 - the caller has looked
    whose = "the project's" if spend.connection is None else "the connection's"
    return Cap(
        name=f"{whose} spend cap per {spend.period}",
        monthly=spend.period == "month",
        amount=usd(spend.cap),
        spent=usd(spend.spent),
    )
