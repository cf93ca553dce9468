"""Names on the wire: tasks, queues and provider kinds. Changing one is a new contract version."""

from enum import StrEnum

#: Version of the payloads. A breaking change gets a new task name (`byom.extract.v2`), never a new meaning.
CONTRACT_VERSION = 1

#: The public entry. Publish it on `ENTRY_QUEUE` with one positional argument: an `ExtractionJob` as JSON.
EXTRACT_TASK = "byom.extract.v1"

#: Verifies the connections of a project. Publish it on `ENTRY_QUEUE` with one positional argument: a
#: `VerificationRequest` as JSON.
VERIFY_TASK = "byom.verify.v1"

#: Drives a backfill that exists already. Publish it on `ENTRY_QUEUE` with one positional argument: its name.
BACKFILL_TASK = "byom.backfill.v1"

#: The queue of the public entry. Celery's own default queue (`celery`) is never consumed, so that the pool
#: can share a broker with other applications.
ENTRY_QUEUE = "byom.extract"


class ProviderKind(StrEnum):
    """The kinds of API that a connection can speak."""

    OPENAI = "openai"
    AZURE_OPENAI = "azure_openai"
    GEMINI = "gemini"
    VERTEX = "vertex"
    ANTHROPIC = "anthropic"
    BEDROCK = "bedrock"
    OPENAI_COMPATIBLE = "openai_compatible"


class Tier(StrEnum):
    """A cheaper way in which a vendor serves work that can wait."""

    #: Sent together with others, answered within a day.
    BATCH = "batch"
    #: Sent at once, served when the vendor has room.
    FLEX = "flex"


def provider_task(kind: ProviderKind) -> str:
    """Name of the Celery task that runs attempts on this provider."""
    return f"extract.{kind.value}"


def provider_queue(kind: ProviderKind) -> str:
    """Queue of this provider; one queue and one task each, so annotations and filters speak of providers."""
    return f"extract.{kind.value}"
