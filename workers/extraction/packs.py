"""Several small episodes in one prompt: which go together.

What is done of a job is kept by unit, whichever prompt it came from: nothing of it is lost when the same episodes go
together differently later on, or not at all.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Final

from tasks.contract import ExtractionJob
from workers.extraction.instructions import PACKED_PROMPT_VERSION, PACKED_SYSTEM
from workers.extraction.plan import LEAST_OUTPUT, MARGIN, OUTPUT_PER_INPUT
from workers.extraction.prompt import Preface, build_packed_user, build_preface
from workers.extraction.results import Pack, Unit, keyed
from workers.extraction.schema import PACKED_SCHEMA, PACKED_SCHEMA_NAME
from workers.extraction.tokens import estimate_tokens
from workers.providers.base import Prompt

#: Episodes of one prompt: beyond that each more saves little, and small models mix them up.
MOST_EPISODES: Final = 16
#: Tokens of output for each episode of a prompt, beyond `LEAST_OUTPUT` for the one that is full of facts.
_OUTPUT_PER_EPISODE: Final = 400

#: Tokens that every shared prompt takes whatever the job: instructions and schema.
PACKED_STATIC_TOKENS: Final = estimate_tokens(PACKED_SYSTEM) + estimate_tokens(json.dumps(PACKED_SCHEMA))


def together(weights: Sequence[int], pack_tokens: int | None) -> list[list[int]]:
    """Which episodes share a prompt, by their places; each is in one group, and those that share none are alone.

    Neighbours go together, over the heads of those that are too heavy: what belongs together mostly stands together.

    Args:
        weights: tokens of the episodes, in the job's order.
        pack_tokens: the most that a group may weigh; None keeps all apart.
    """
    groups: list[list[int]] = []
    gathered: list[int] = []
    weight = 0
    for place, tokens in enumerate(weights):
        if pack_tokens is None or tokens > pack_tokens:
            groups.append([place])
            continue
        if not gathered or weight + tokens > pack_tokens or len(gathered) == MOST_EPISODES:
            gathered, weight = [], 0
            groups.append(gathered)
        gathered.append(place)
        weight += tokens
    return groups


def pack(
    job: ExtractionJob,
    units: Sequence[Unit],
    *,
    done: Collection[int],
    split: Collection[int],
    context_tokens: int,
    max_output: int,
) -> list[Pack]:
    """The calls that are left to make of a job.

    Which episodes go together depends on the job alone, except that a model too small for them gets them by halves.

    Args:
        job: says how many tokens may go together, if any.
        units: its plan.
        done: indexes of the units that need no call any more; those that went with them go alone.
        split: first indexes of those that were asked about together in vain; they go alone.
        context_tokens: what the model takes in one call, prompt and answer together.
        max_output: what the model can write in one call, in tokens.
    """
    if job.pack_tokens is None:
        return [Pack.alone(unit) for unit in units if unit.index not in done]
    # Parts of a long episode never go with others: they are long themselves, and have no beginning or end.
    whole = [unit for unit in units if unit.parts == 1]
    groups = together([estimate_tokens(unit.text) for unit in whole], job.pack_tokens)
    build = partial(_build, build_preface(job), context_tokens=context_tokens, max_output=max_output)
    packs = [Pack.alone(unit) for unit in units if unit.parts > 1 and unit.index not in done]
    for group in groups:
        for made in build([whole[place] for place in group]):
            left = [unit for unit in made.units if unit.index not in done]
            is_apart = made.index in split or len(left) < len(made.units)
            packs += map(Pack.alone, left) if is_apart else [made]
    return sorted(packs, key=lambda made: made.index)


def _build(preface: Preface, units: Sequence[Unit], *, context_tokens: int, max_output: int) -> Iterator[Pack]:
    """As few packs of these units as the model has room for."""
    if len(units) == 1:
        yield Pack.alone(units[0])
        return
    user = build_packed_user(preface, {key: unit.episode for key, unit in keyed(units).items()})
    needed = int((PACKED_STATIC_TOKENS + estimate_tokens(user)) * MARGIN)
    tokens = sum(estimate_tokens(unit.text) for unit in units)
    room = LEAST_OUTPUT + _OUTPUT_PER_EPISODE * len(units) + OUTPUT_PER_INPUT * tokens
    if room > min(max_output, context_tokens - needed):
        for half in (units[: len(units) // 2], units[len(units) // 2 :]):
            yield from _build(preface, half, context_tokens=context_tokens, max_output=max_output)
        return
    yield Pack(
        units=tuple(units),
        prompt=Prompt(
            system=PACKED_SYSTEM,
            user=user,
            schema_name=PACKED_SCHEMA_NAME,
            schema=PACKED_SCHEMA,
            version=PACKED_PROMPT_VERSION,
            max_output_tokens=room,
        ),
    )
