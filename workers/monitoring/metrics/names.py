"""Every metric of ours: its name, labels, and what it counts. The docs print this table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

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


_USAGE = ("project", "provider", "model")
_METER = ("tenant", "meter")

# Of the whole pool, from Flower. --------------------------------------------------------------------------------------

ATTEMPTS = Metric(
    name="byom_attempts_total",
    kind=Kind.COUNTER,
    labels=(*_USAGE, "role", "outcome"),
    says="Attempts; outcome is ok or failed, role is primary or fallback.",
)
TOKENS = Metric(
    name="byom_tokens_total",
    kind=Kind.COUNTER,
    labels=(*_USAGE, "type"),
    says="Tokens by type: input, cached_input, cache_write, output. They do not overlap.",
)
REASONING = Metric(
    name="byom_reasoning_tokens_total",
    kind=Kind.COUNTER,
    labels=_USAGE,
    says="The part of the output that was reasoning.",
)
COST = Metric(name="byom_cost_usd_total", kind=Kind.COUNTER, labels=_USAGE, says="Cost in USD, as far as it is known.")
UNPRICED = Metric(
    name="byom_unpriced_attempts_total",
    kind=Kind.COUNTER,
    labels=_USAGE,
    says="Attempts that used tokens at an unknown price; their cost is missing in byom_cost_usd_total.",
)
CALL_SECONDS = Metric(
    name="byom_call_seconds_total",
    kind=Kind.COUNTER,
    labels=_USAGE,
    says="Seconds of all calls together; divided by attempts it is the mean.",
)
WAIT_SECONDS = Metric(
    name="byom_attempt_wait_seconds_total",
    kind=Kind.COUNTER,
    labels=_USAGE,
    says="Seconds that jobs waited in lanes before attempts, all together.",
)
LANE_JOBS = Metric(
    name="byom_lane_jobs",
    kind=Kind.GAUGE,
    labels=("queue", "priority", "project"),
    says="Jobs that wait in lanes.",
)
LANE_TOKENS = Metric(
    name="byom_lane_tokens",
    kind=Kind.GAUGE,
    labels=("queue", "priority", "project"),
    says="Estimated tokens of the jobs that wait.",
)
LANE_OLDEST = Metric(
    name="byom_lane_oldest_seconds",
    kind=Kind.GAUGE,
    labels=("queue", "priority", "project"),
    says="How long the first job of a lane waits.",
)
PAUSES = Metric(name="byom_lanes_paused", kind=Kind.GAUGE, labels=("priority",), says="Lanes that somebody paused.")
METERS = Metric(name="byom_meters", kind=Kind.GAUGE, says="Meters, each a credential and a model, that are in use.")
BREAKERS = Metric(
    name="byom_breakers",
    kind=Kind.GAUGE,
    labels=("state",),
    says="Meters by the state of their breaker: closed, open, half_open.",
)
BREAKER_OPEN = Metric(
    name="byom_breaker_open",
    kind=Kind.GAUGE,
    labels=_METER,
    says="1 while the breaker of a meter is not closed, else 0.",
)
BLOCKED = Metric(
    name="byom_meter_blocked",
    kind=Kind.GAUGE,
    labels=(*_METER, "reason"),
    says="1 while nobody is admitted to a meter; reason is why.",
)
LIMIT = Metric(
    name="byom_limit_per_minute",
    kind=Kind.GAUGE,
    labels=(*_METER, "limit", "kind"),
    says="Limits of a meter; limit is tokens, output_tokens or requests, kind is declared or learned.",
)
LIMIT_USED = Metric(
    name="byom_limit_used_ratio",
    kind=Kind.GAUGE,
    labels=(*_METER, "limit"),
    says="The share of what a meter may take at once that is taken.",
)
IN_FLIGHT = Metric(
    name="byom_calls_in_flight", kind=Kind.GAUGE, labels=_METER, says="Leases of a meter that are out: calls under way."
)
DEAD = Metric(
    name="byom_dead_letters",
    kind=Kind.GAUGE,
    labels=("cause",),
    says="Jobs that failed and were neither replayed nor discarded; cause is the failure's code.",
)
DEAD_DROPPED = Metric(
    name="byom_dead_letters_dropped_total",
    kind=Kind.COUNTER,
    labels=("reason",),
    says="Failed jobs that are kept no more; reason is limit (there were too many) or expired.",
)
SCRAPE_OK = Metric(
    name="byom_scrape_ok",
    kind=Kind.GAUGE,
    labels=("source",),
    says="1 where usage, lanes, meters or dead letters could be read, 0 where the broker did not answer.",
)

POOL: Sequence[Metric] = (
    ATTEMPTS, TOKENS, REASONING, COST, UNPRICED, CALL_SECONDS, WAIT_SECONDS, LANE_JOBS, LANE_TOKENS, LANE_OLDEST,
    PAUSES, METERS, BREAKERS, BREAKER_OPEN, BLOCKED, LIMIT, LIMIT_USED, IN_FLIGHT, DEAD, DEAD_DROPPED, SCRAPE_OK,
)  # fmt: skip

# Of its own calls, from each worker. ----------------------------------------------------------------------------------

#: As the semantic conventions of OpenTelemetry for generative AI name and bound them, written as Prometheus does.
_GEN_AI = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")

DURATION = Metric(
    name="gen_ai_client_operation_duration_seconds",
    kind=Kind.HISTOGRAM,
    labels=(*_GEN_AI, "error_type"),
    says="Time of a call; error_type is empty where it yielded an answer.",
    buckets=tuple(0.01 * 2**power for power in range(14)),
)
TOKEN_USAGE = Metric(
    name="gen_ai_client_token_usage",
    kind=Kind.HISTOGRAM,
    labels=(*_GEN_AI, "gen_ai_token_type"),
    says="Tokens of a call; gen_ai_token_type is input, the cached part included, or output.",
    buckets=tuple(4**power for power in range(14)),
)
QUEUE_WAIT = Metric(
    name="byom_queue_wait_seconds",
    kind=Kind.HISTOGRAM,
    labels=("provider",),
    says="How long a job waited in its lane before an attempt.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600),
)
REFUSED = Metric(
    name="byom_admission_refused_total",
    kind=Kind.COUNTER,
    labels=("provider", "reason"),
    says="Calls that were not admitted; reason is what they have to wait for.",
)
ESTIMATE = Metric(
    name="byom_estimate_ratio",
    kind=Kind.HISTOGRAM,
    labels=("provider", "model"),
    says="Estimated tokens of a prompt over those the vendor counted; 1 is exact, less is too low.",
    buckets=(0.25, 0.5, 0.75, 0.9, 0.95, 1, 1.05, 1.1, 1.25, 1.5, 2, 4),
)
JOBS = Metric(
    name="byom_jobs_total",
    kind=Kind.COUNTER,
    labels=("status", "code"),
    says="Jobs that ended here; status is as in the result, code is the failure's.",
)

WORKER: Sequence[Metric] = (DURATION, TOKEN_USAGE, QUEUE_WAIT, REFUSED, ESTIMATE, JOBS)

#: What the conventions call a provider.
PROVIDER_NAMES: Mapping[ProviderKind, str] = {
    ProviderKind.OPENAI: "openai",
    ProviderKind.AZURE_OPENAI: "azure.ai.openai",
    ProviderKind.GEMINI: "gcp.gemini",
    ProviderKind.VERTEX: "gcp.vertex_ai",
    ProviderKind.ANTHROPIC: "anthropic",
    ProviderKind.BEDROCK: "aws.bedrock",
    # The conventions have no name for it.
    ProviderKind.OPENAI_COMPATIBLE: "openai_compatible",
}
