"""Extraction of memories: what to ask of a model, and what of its answer to believe. Pure: no I/O, no clock.

`plan` turns a job into units, one model call each; `check` turns an answer into what can be believed of it; `assemble`
turns what all units yielded into the results of the job's episodes.
"""

from .checks import check
from .instructions import PROMPT_VERSION
from .merge import assemble
from .needs import Needs, prompt_tokens, rough_needs
from .notes import WarningCode
from .plan import plan
from .prompt import enlarge, remind
from .results import Extracted, ExtractedEntity, ExtractedFact, PromptTooLong, Unit, Unusable
from .schema import SCHEMA_VERSION
from .tokens import estimate_tokens

__all__ = [
    "PROMPT_VERSION",
    "SCHEMA_VERSION",
    "Extracted",
    "ExtractedEntity",
    "ExtractedFact",
    "Needs",
    "PromptTooLong",
    "Unit",
    "Unusable",
    "WarningCode",
    "assemble",
    "check",
    "enlarge",
    "estimate_tokens",
    "plan",
    "prompt_tokens",
    "remind",
    "rough_needs",
]
