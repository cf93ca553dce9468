"""Every field of what crosses the contract: `docs/reference/schemas.md`."""

from collections.abc import Sequence

from pydantic import BaseModel

from tasks.contract import (
    AttemptRecord,
    Entity,
    EntityType,
    Episode,
    EpisodeResult,
    ExtractionJob,
    ExtractionResult,
    Fact,
    Failure,
    Provenance,
    ResultWarning,
    TokenUsage,
    UsageTotals,
    VerificationRequest,
)
from workers.reference.markdown import GENERATED
from workers.reference.models import sections

#: What a producer writes: its unknown fields are refused.
SENT: Sequence[type[BaseModel]] = (ExtractionJob, Episode, EntityType, VerificationRequest)
#: What workers write: readers ignore fields that they do not know.
WRITTEN: Sequence[type[BaseModel]] = (
    *(ExtractionResult, EpisodeResult, Entity, Fact, ResultWarning, Provenance),
    *(UsageTotals, TokenUsage, AttemptRecord, Failure),
)
#: Name of each model of this page, for links within it.
PLACES = {model.__name__: "" for model in (*SENT, *WRITTEN)}

_HEAD = f"""\
# Fields of jobs and results

{GENERATED}

Every field of what crosses [the contract](../contract.md), which shows full examples and says what no schema can. The
JSON Schemas that pipelines validate with are printed by [`byom schema`](cli.md#byom-schema); fields of
[events](events.md) are on a page of their own, those of the [configuration](../configuration.md) on another.

What is sent comes first, and its unknown fields are refused. What workers write begins with
[ExtractionResult](#extractionresult): fields without a value are left out, and readers ignore fields that they do not
know, since newer workers may write more. Where a field takes one of several words, newer workers may write others, too.
"""


def render() -> str:
    """The whole page."""
    sent = sections(SENT, PLACES, mode="validation")
    written = sections(WRITTEN, PLACES, mode="serialization")
    return "\n".join([_HEAD, *sent, *written])
