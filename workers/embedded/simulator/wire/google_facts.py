"""What Gemini models accept, as far as the simulator enforces it.

Written apart from `config/catalogue.toml` on purpose: two tables that must agree catch each other's mistakes.
As of 2026-11-23.
"""

from collections.abc import Mapping
from dataclasses import dataclass

MINIMAL, LOW, MEDIUM, HIGH = "MINIMAL", "LOW", "MEDIUM", "HIGH"

#: Tokens that a simulated model spends on thinking, by level. Real ones may think a little even at `MINIMAL`.
_LEVEL_TOKENS = {MINIMAL: 0, LOW: 128, MEDIUM: 512, HIGH: 2_048}
#: What a model spends that may think as much as it likes.
_DYNAMIC = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One model."""

    #: Levels that it accepts; empty means that it takes a budget instead.
    levels: tuple[str, ...] = ()
    #: For models with a budget: the smallest and the largest that is not 0.
    budgets: tuple[int, int] = (0, 0)
    #: Whether a budget of 0 turns thinking off.
    can_be_off: bool = False
    #: Level or budget when the request names none.
    default: str | int = 0
    context: int = 1_048_576
    max_output: int = 65_536
    #: Smallest prefix that is cached, in tokens.
    cache_minimum: int = 1_024
    #: The model that answers in its place, once it is retired.
    served: str | None = None


_LEVELS = (MINIMAL, LOW, MEDIUM, HIGH)
_LITE = Facts(levels=_LEVELS, default=MINIMAL)
_FLASH = Facts(levels=_LEVELS, default=MEDIUM, cache_minimum=4_096)
_ALWAYS_ON = Facts(levels=_LEVELS[1:], default=MEDIUM, cache_minimum=4_096)

_SHARED: dict[str, Facts] = {
    "gemini-3.1-flash-lite": _LITE,
    "gemini-3.5-flash-lite": _LITE,
    "gemini-3.5-flash": _FLASH,
    "gemini-3.6-flash": _FLASH,
    "gemini-3.7-flash": _ALWAYS_ON,
    "gemini-3.8-flash": _ALWAYS_ON,
}
GEMINI_MODELS: Mapping[str, Facts] = {
    "gemini-2.5-flash-lite": Facts(budgets=(512, 24_576), can_be_off=True),
    # Silently answered, and billed, as another model.
    "gemini-2.5-flash": Facts(budgets=(1, 24_576), can_be_off=True, default=-1, served="gemini-3.5-flash-lite"),
    "gemini-2.5-pro": Facts(budgets=(128, 32_768), default=-1),
    **_SHARED,
}
#: The 2.5 family is past its retirement here.
VERTEX_MODELS: Mapping[str, Facts] = _SHARED


def thinking_tokens(facts: Facts, *, level: str | None, budget: int | None) -> int:
    """Tokens that a model spends on thinking.

    Raises:
        ValueError: the model does not take this; the text is the vendor's.
    """
    if level is not None and budget is not None:
        raise ValueError("You can only set only one of thinking budget and thinking level.")
    if level is not None:
        if level not in facts.levels:
            raise ValueError(f"Thinking level {level} is not supported for this model.")
        return _LEVEL_TOKENS[level]
    if facts.levels:
        # Newer models still take a budget, but only as a hint.
        return _LEVEL_TOKENS[str(facts.default)] if budget is None else min(max(budget, 0), _DYNAMIC)
    asked = facts.default if budget is None else budget
    if asked == 0 and not facts.can_be_off:
        raise ValueError("Budget 0 is invalid. This model only works in thinking mode.")
    low, high = facts.budgets
    if isinstance(asked, int) and asked not in {-1, 0} and not low <= asked <= high:
        raise ValueError(f"The thinking budget {asked} is invalid. Please choose a value between {low} and {high}.")
    return _DYNAMIC if asked == -1 else min(int(asked), _DYNAMIC)
