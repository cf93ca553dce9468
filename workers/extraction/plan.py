"""From a job to the model calls that it takes."""

import json
from typing import Final

from tasks.contract import ExtractionJob
from workers.extraction.chunks import spans
from workers.extraction.instructions import PROMPT_VERSION, SYSTEM
from workers.extraction.prompt import build_preface, build_user
from workers.extraction.results import PromptTooLong, Unit
from workers.extraction.schema import SCHEMA, SCHEMA_NAME
from workers.extraction.tokens import estimate_tokens
from workers.providers.base import Prompt

#: Tokens of output that every call may use: a short message can hold a dozen facts.
LEAST_OUTPUT: Final = 1_000
#: Tokens of output per token of a chunk beyond that.
OUTPUT_PER_INPUT: Final = 2
#: The estimate leans to the high side of one vocabulary; some vendors' count more.
MARGIN: Final = 1.25

#: Tokens that every call takes whatever the job: instructions and schema.
STATIC_TOKENS: Final = estimate_tokens(SYSTEM) + estimate_tokens(json.dumps(SCHEMA))


def plan(job: ExtractionJob, *, context_tokens: int, max_output: int) -> list[Unit]:
    """The calls that a job takes, in the order of its episodes.

    Indexes, chunks and prompts depend on the job and on `PROMPT_VERSION` alone, so that an output stored by an earlier
    attempt fits the same unit of a later one, on another model too. The model's limits only bound the room for the
    answer, and decide whether the job fits at all.

    Args:
        job: what to extract from.
        context_tokens: what the model takes in one call, prompt and answer together.
        max_output: what the model can write in one call, in tokens.

    Raises:
        PromptTooLong: the model has no room for a prompt of this job and its answer.
    """
    preface = build_preface(job)
    units: list[Unit] = []
    for episode in job.episodes:
        text = episode.text
        chunks = spans(text, episode.kind)
        for part, (start, end) in enumerate(chunks, start=1):
            chunk = text[start:end]
            user = build_user(preface, episode, chunk, part=part, parts=len(chunks))
            tokens = STATIC_TOKENS + estimate_tokens(user)
            needed = int(tokens * MARGIN)
            if not has_room(tokens, context_tokens=context_tokens, max_output=max_output):
                raise PromptTooLong(
                    f"project '{job.project}': episode '{episode.id}' needs about {needed} tokens for the prompt and "
                    f"{LEAST_OUTPUT} for the answer, and the model takes {context_tokens}; choose a model with a "
                    "larger context, or shorten the job's context, instructions and entity types"
                )
            wanted = LEAST_OUTPUT + OUTPUT_PER_INPUT * estimate_tokens(chunk)
            room = min(wanted, max_output, context_tokens - needed)
            prompt = Prompt(
                system=SYSTEM,
                user=user,
                schema_name=SCHEMA_NAME,
                schema=SCHEMA,
                version=PROMPT_VERSION,
                max_output_tokens=room,
            )
            units.append(
                Unit(index=len(units) + 1, episode=episode, part=part, parts=len(chunks), text=chunk, prompt=prompt)
            )
    return units


def has_room(tokens: int, *, context_tokens: int, max_output: int) -> bool:
    """Whether a model takes a prompt of so many estimated tokens, and the least that its answer may need."""
    return context_tokens - int(tokens * MARGIN) >= min(LEAST_OUTPUT, max_output)
