"""What a job will roughly take, before it is planned: cheap enough to do for every job that is enqueued."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from tasks.contract import ExtractionJob
from workers.extraction.chunks import CHUNK_TOKENS, OVERLAP_TOKENS
from workers.extraction.instructions import PACKED_PROMPT_VERSION
from workers.extraction.packs import PACKED_STATIC_TOKENS, together
from workers.extraction.plan import STATIC_TOKENS
from workers.extraction.prompt import CONTEXT_TOKENS
from workers.extraction.results import Pack
from workers.extraction.tokens import estimate_tokens
from workers.providers.base import Prompt

#: Estimated tokens of what stands around each episode of a shared prompt.
_FRAME_TOKENS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Estimates of a whole job."""

    #: Tokens of all prompts together.
    input_tokens: int
    #: Calls of the model.
    calls: int


def rough_needs(job: ExtractionJob) -> Needs:
    """Calls and input tokens of a job, without building its prompts; a few percent off the plan."""
    shared = min(CONTEXT_TOKENS, sum(estimate_tokens(episode.text) for episode in job.context))
    shared += estimate_tokens(job.instructions) if job.instructions else 0
    shared += sum(estimate_tokens(f"{kind.name} {kind.description}") for kind in job.entity_types)
    weights = [estimate_tokens(episode.text) for episode in job.episodes]
    calls = input_tokens = 0
    for group in together(weights, job.pack_tokens):
        if len(group) > 1:
            calls += 1
            input_tokens += PACKED_STATIC_TOKENS + shared + sum(weights[place] + _FRAME_TOKENS for place in group)
            continue
        tokens = weights[group[0]]
        parts = 1 if tokens <= CHUNK_TOKENS else -(-tokens // (CHUNK_TOKENS - OVERLAP_TOKENS))
        calls += parts
        input_tokens += parts * (STATIC_TOKENS + shared) + tokens + (parts - 1) * OVERLAP_TOKENS
    return Needs(input_tokens=input_tokens, calls=calls)


def prompt_tokens(prompt: Prompt) -> int:
    """Estimated input tokens of one call: instructions, schema, and what differs."""
    static = PACKED_STATIC_TOKENS if prompt.version == PACKED_PROMPT_VERSION else STATIC_TOKENS
    return static + estimate_tokens(prompt.user)


def text_tokens(pack: Pack) -> int:
    """Estimated tokens of what a call is about, without all that stands around it."""
    return sum(estimate_tokens(unit.text) for unit in pack.units)


def tokens_saved(pack: Pack, yielded: Collection[int], *, taken: int) -> int:
    """Input tokens of the separate prompts that a shared one made needless, less those that it took.

    Negative where it was in vain: what it did not yield takes a prompt of its own after all.

    Args:
        pack: what was asked.
        yielded: indexes of the units that it yielded memories of.
        taken: input tokens of the shared prompt as the vendor counted them, which tells how far its count differs from
            the estimate; 0 where it does not say.
    """
    estimated = prompt_tokens(pack.prompt)
    spared = sum(prompt_tokens(unit.prompt) for unit in pack.units if unit.index in yielded)
    return spared - estimated if not taken else round(spared * taken / estimated) - taken
