"""Extraction of memories: what to ask of a model, and what of its answer to believe. Pure: no I/O, no clock.

`plan` turns a job into units, an episode or a chunk of one each; `pack` says which of them share a model call; `check`
and `check_pack` turn an answer into what can be believed of it; `assemble` turns what all units yielded into the
results of the job's episodes.
"""

from .checks import check, check_pack
from .instructions import PACKED_PROMPT_VERSION, PROMPT_VERSION
from .merge import assemble
from .needs import Needs, prompt_tokens, rough_needs, text_tokens, tokens_saved
from .notes import WarningCode
from .packs import MOST_EPISODES, pack
from .plan import has_room, plan
from .prompt import enlarge, remind
from .results import Extracted, ExtractedEntity, ExtractedFact, Pack, PromptTooLong, Unit, Unusable
from .schema import PACKED_SCHEMA_VERSION, SCHEMA_VERSION
from .tokens import estimate_tokens

__all__ = [
    "MOST_EPISODES",
    "PACKED_PROMPT_VERSION",
    "PACKED_SCHEMA_VERSION",
    "PROMPT_VERSION",
    "SCHEMA_VERSION",
    "Extracted",
    "ExtractedEntity",
    "ExtractedFact",
    "Needs",
    "Pack",
    "PromptTooLong",
    "Unit",
    "Unusable",
    "WarningCode",
    "assemble",
    "check",
    "check_pack",
    "enlarge",
    "estimate_tokens",
    "has_room",
    "pack",
    "plan",
    "prompt_tokens",
    "remind",
    "rough_needs",
    "text_tokens",
    "tokens_saved",
]
