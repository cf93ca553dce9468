"""What a pipeline may say to the worker pool, and what it gets back.

These modules are all that outsiders may import, and they need nothing but pydantic. Inside this
repository they are `tasks.contract`; pipelines install the same files as the `byom_contract` wheel.
Imports in here are relative for that reason.
"""

from .errors import (
    ContractError,
    ExtractionFailed,
    FailureCode,
    JobRefused,
)
from .job import (
    EntityType,
    Episode,
    EpisodeKind,
    ExtractionJob,
    Priority,
    parse_job,
)
from .limits import LIMITS, Limits
from .names import (
    BACKFILL_TASK,
    CONTRACT_VERSION,
    ENTRY_QUEUE,
    EXTRACT_TASK,
    VERIFY_TASK,
    ProviderKind,
    Tier,
    provider_queue,
    provider_task,
)
from .result import (
    AttemptRecord,
    Entity,
    EpisodeResult,
    ExtractionResult,
    Fact,
    Failure,
    JobStatus,
    Provenance,
    ResultWarning,
    Role,
    TokenUsage,
    UsageTotals,
)
from .schemas import SCHEMAS, json_schema
from .verification import VerificationRequest, parse_verification

__all__ = [
    "BACKFILL_TASK",
    "CONTRACT_VERSION",
    "ENTRY_QUEUE",
    "EXTRACT_TASK",
    "LIMITS",
    "SCHEMAS",
    "VERIFY_TASK",
    "AttemptRecord",
    "ContractError",
    "Entity",
    "EntityType",
    "Episode",
    "EpisodeKind",
    "EpisodeResult",
    "ExtractionFailed",
    "ExtractionJob",
    "ExtractionResult",
    "Fact",
    "Failure",
    "FailureCode",
    "JobRefused",
    "JobStatus",
    "Limits",
    "Priority",
    "Provenance",
    "ProviderKind",
    "ResultWarning",
    "Role",
    "Tier",
    "TokenUsage",
    "UsageTotals",
    "VerificationRequest",
    "json_schema",
    "parse_job",
    "parse_verification",
    "provider_queue",
    "provider_task",
]
