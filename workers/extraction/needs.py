"""What a job will roughly take, before it is planned: cheap enough to do for every job that is enqueued."""

from dataclasses import dataclass

from tasks.contract import ExtractionJob
from workers.extraction.chunks import CHUNK_TOKENS, OVERLAP_TOKENS
from workers.extraction.plan import STATIC_TOKENS
from workers.extraction.prompt import CONTEXT_TOKENS
from workers.extraction.tokens import estimate_tokens
from workers.providers.base import Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Estimates of a whole job."""

    #: Tokens of all prompts together.
    input_tokens: int
    #: Calls of the model.
    calls: int


def rough_needs(job: ExtractionJob) -> Needs:
    """Calls and input tokens of a job, without building its prompts; a few percent off what `plan` comes to."""
    shared = STATIC_TOKENS + min(CONTEXT_TOKENS, sum(estimate_tokens(episode.text) for episode in job.context))
    shared += estimate_tokens(job.instructions) if job.instructions else 0
    shared += sum(estimate_tokens(f"{kind.name} {kind.description}") for kind in job.entity_types)
    calls = text_tokens = 0
    for episode in job.episodes:
        tokens = estimate_tokens(episode.text)
        parts = 1 if tokens <= CHUNK_TOKENS else -(-tokens // (CHUNK_TOKENS - OVERLAP_TOKENS))
        calls += parts
        text_tokens += tokens + (parts - 1) * OVERLAP_TOKENS
    return Needs(input_tokens=calls * shared + text_tokens, calls=calls)


def prompt_tokens(prompt: Prompt) -> int:
    """Estimated input tokens of one call: instructions, schema, and what differs."""
    return STATIC_TOKENS + estimate_tokens(prompt.user)
