"""Every metric of ours: its name, labels, and what it counts. The docs print this table."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from config.kinds import kind_of
from tasks.contract import ProviderKind


class Kind(StrEnum):
    """What a metric is to Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric."""

    #: As Prometheus shows it; a counter's ends with `_total`.
    name: str
    kind: Kind
    labels: Sequence[str] = ()
    #: What it counts.
    says: str
    #: Upper bounds of a histogram.
    buckets: Sequence[float] = ()


def _counter(name: str, labels: Sequence[str], says: str) -> Metric:
    return Metric(name=name, kind=Kind.COUNTER, labels=labels, says=says)


def _gauge(name: str, labels: Sequence[str], says: str) -> Metric:
    return Metric(name=name, kind=Kind.GAUGE, labels=labels, says=says)


def _histogram(name: str, labels: Sequence[str], says: str, *, buckets: Sequence[float]) -> Metric:
    return Metric(name=name, kind=Kind.HISTOGRAM, labels=labels, says=says, buckets=buckets)


# Of the whole pool, from Flower. --------------------------------------------------------------------------------------

_USAGE = ("project", "provider", "model")
_LANE = ("queue", "priority", "project")
_METER = ("tenant", "meter")

ATTEMPTS = _counter(
    "byom_attempts_total",
    (*_USAGE, "role", "outcome"),
    "Attempts; outcome is ok or failed, role is primary or fallback.",
)
TOKENS = _counter(
    "byom_tokens_total",
    (*_USAGE, "type"),
    "Tokens by type: input, cached_input, cache_write, output. They do not overlap.",
)
REASONING = _counter("byom_reasoning_tokens_total", _USAGE, "The part of the output that was reasoning.")
COST = _counter("byom_cost_usd_total", _USAGE, "Cost in USD, as far as it is known.")
UNPRICED = _counter(
    "byom_unpriced_attempts_total",
    _USAGE,
    "Attempts that used tokens at an unknown price; their cost is missing in byom_cost_usd_total.",
)
CALL_SECONDS = _counter(
    "byom_call_seconds_total", _USAGE, "Seconds of all calls together; divided by attempts it is the mean."
)
WAIT_SECONDS = _counter(
    "byom_attempt_wait_seconds_total", _USAGE, "Seconds that jobs waited in lanes before attempts, all together."
)
LANE_JOBS = _gauge("byom_lane_jobs", _LANE, "Jobs that wait in lanes.")
LANE_BEHIND = _gauge(
    "byom_lane_jobs_behind",
    _LANE,
    "Jobs that come into a lane when the one before them in their session has ended; not among byom_lane_jobs.",
)
LANE_TOKENS = _gauge("byom_lane_tokens", _LANE, "Estimated tokens of the jobs that wait.")
LANE_OLDEST = _gauge("byom_lane_oldest_seconds", _LANE, "How long the first job of a lane waits.")
PAUSES = _gauge("byom_lanes_paused", ("priority",), "Lanes that somebody paused.")
BATCHES = _gauge(
    "byom_batches",
    ("provider", "state"),
    "Batches that are not over; state is ready (not sent), sending, open (the vendor has it) or read.",
)
BATCH_JOBS = _gauge(
    "byom_batch_jobs", ("state",), "Jobs that can wait; state is waiting (for a batch to be made) or batched (in one)."
)
BATCH_OLDEST = _gauge(
    "byom_batch_oldest_seconds", ("state",), "Age of the oldest job that waits for a batch, and of the oldest batch."
)
METERS = _gauge("byom_meters", (), "Meters, each a credential and a model, that are in use.")
BREAKERS = _gauge("byom_breakers", ("state",), "Meters by the state of their breaker: closed, open, half_open.")
BREAKER_OPEN = _gauge("byom_breaker_open", _METER, "1 while the breaker of a meter is not closed, else 0.")
BLOCKED = _gauge("byom_meter_blocked", (*_METER, "reason"), "1 while nobody is admitted to a meter; reason is why.")
LIMIT = _gauge(
    "byom_limit_per_minute",
    (*_METER, "limit", "kind"),
    "Limits of a meter; limit is tokens, output_tokens or requests, kind is declared or learned.",
)
LIMIT_USED = _gauge(
    "byom_limit_used_ratio", (*_METER, "limit"), "The share of what a meter may take at once that is taken."
)
IN_FLIGHT = _gauge("byom_calls_in_flight", _METER, "Leases of a meter that are out: calls under way.")
DELIVERIES = _counter(
    "byom_webhook_deliveries_total",
    ("project", "outcome"),
    "Deliveries to webhooks and callbacks; outcome is delivered, retried, failed (given up) or redelivered.",
)
DELIVERIES_WAITING = _gauge(
    "byom_webhook_deliveries_waiting", (), "Deliveries to webhooks and callbacks that are due, under way or put off."
)
RECEIVERS_FAILING = _gauge(
    "byom_webhook_receivers_failing", (), "Webhooks and callbacks whose last delivery failed and that more wait for."
)
DEAD = _gauge(
    "byom_dead_letters",
    ("cause",),
    "Jobs that failed and were neither replayed nor discarded; cause is the failure's code.",
)
DEAD_DROPPED = _counter(
    "byom_dead_letters_dropped_total",
    ("reason",),
    "Failed jobs that are kept no more; reason is limit (there were too many) or expired.",
)
SCRAPE_OK = _gauge(
    "byom_scrape_ok",
    ("source",),
    "1 where usage, lanes, batches, meters, webhooks or dead letters could be read, 0 where the broker did not answer.",
)

POOL: Sequence[Metric] = (
    ATTEMPTS, TOKENS, REASONING, COST, UNPRICED, CALL_SECONDS, WAIT_SECONDS, LANE_JOBS, LANE_BEHIND, LANE_TOKENS,
    LANE_OLDEST, PAUSES, BATCHES, BATCH_JOBS, BATCH_OLDEST, METERS, BREAKERS, BREAKER_OPEN, BLOCKED, LIMIT, LIMIT_USED,
    IN_FLIGHT, DELIVERIES, DELIVERIES_WAITING, RECEIVERS_FAILING, DEAD, DEAD_DROPPED, SCRAPE_OK,
)  # fmt: skip

# Of its own calls, from each worker. ----------------------------------------------------------------------------------

#: As the semantic conventions of OpenTelemetry for generative AI name and bound them, written as Prometheus does.
_GEN_AI = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")

DURATION = _histogram(
    "gen_ai_client_operation_duration_seconds",
    (*_GEN_AI, "error_type"),
    "Time of a call; error_type is empty where it yielded an answer.",
    buckets=tuple(0.01 * 2**power for power in range(14)),
)
TOKEN_USAGE = _histogram(
    "gen_ai_client_token_usage",
    (*_GEN_AI, "gen_ai_token_type"),
    "Tokens of a call; gen_ai_token_type is input, the cached part included, or output.",
    buckets=tuple(4**power for power in range(14)),
)
QUEUE_WAIT = _histogram(
    "byom_queue_wait_seconds",
    ("provider",),
    "How long a job waited in its lane before an attempt.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600),
)
REFUSED = _counter(
    "byom_admission_refused_total",
    ("provider", "reason"),
    "Calls that were not admitted; reason is what they have to wait for.",
)
ESTIMATE = _histogram(
    "byom_estimate_ratio",
    ("provider", "model"),
    "Estimated tokens of a prompt over those the vendor counted; 1 is exact, less is too low.",
    buckets=(0.25, 0.5, 0.75, 0.9, 0.95, 1, 1.05, 1.1, 1.25, 1.5, 2, 4),
)
JOBS = _counter(
    "byom_jobs_total",
    ("status", "code"),
    "Jobs that ended here; status is as in the result, code is the failure's.",
)
POSTS = _histogram(
    "byom_webhook_post_seconds",
    ("outcome",),
    "Time of a post to a webhook or callback; outcome is ok where it counts as delivered, else failed.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60),
)

SIGNATURES = _counter(
    "byom_signatures_total",
    ("outcome", "producer"),
    "Messages whose signature was looked at; outcome is valid, unsigned where none is required, or why it was refused.",
)

WORKER: Sequence[Metric] = (DURATION, TOKEN_USAGE, QUEUE_WAIT, REFUSED, ESTIMATE, JOBS, POSTS, SIGNATURES)


def provider_name(provider: ProviderKind | str) -> str:
    """What the conventions call a provider; one that only newer workers know, as these do."""
    return kind_of(provider).telemetry_name if isinstance(provider, ProviderKind) else provider
