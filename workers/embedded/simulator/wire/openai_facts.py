"""What OpenAI's models accept, as far as the simulator enforces it.

Written apart from `config/catalogue.toml` on purpose: two tables that must agree catch each other's mistakes.
As of 2026-11-23.
"""

from dataclasses import dataclass

NONE, MINIMAL, LOW, MEDIUM, HIGH, XHIGH, MAX = "none", "minimal", "low", "medium", "high", "xhigh", "max"

#: Tokens that a simulated model spends on reasoning, by effort.
REASONING_TOKENS = {NONE: 0, MINIMAL: 32, LOW: 128, MEDIUM: 512, HIGH: 2_048, XHIGH: 8_192, MAX: 16_384}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One model."""

    #: Efforts that it accepts; empty means that it does not reason and refuses the parameter.
    efforts: tuple[str, ...] = ()
    #: Effort when the request names none.
    default: str = NONE
    #: Input tokens that fit.
    context: int = 922_000
    max_output: int = 128_000
    #: 5.6 and later: cache options are accepted, and writes are counted and priced.
    counts_writes: bool = False
    #: Date on which it is switched off.
    ends: str | None = None

    @property
    def reasons(self) -> bool:
        """Whether the model can reason."""
        return bool(self.efforts)


_OFF_TO_MAX = (NONE, LOW, MEDIUM, HIGH, XHIGH, MAX)
_SIX = Facts(efforts=_OFF_TO_MAX, default=MEDIUM, counts_writes=True)
_ALWAYS_ON = Facts(efforts=_OFF_TO_MAX[1:], default=MEDIUM, counts_writes=True)

MODELS: dict[str, Facts] = {
    "gpt-6-luna": _SIX,
    "gpt-6-sol": _SIX,
    "gpt-6.1-terra": _SIX,
    "gpt-6-astra": _ALWAYS_ON,
    "gpt-6.1-sol": _ALWAYS_ON,
    "gpt-5.6-luna": _SIX,
    "gpt-5.6-terra": _SIX,
    "gpt-5.6-sol": _SIX,
    "gpt-5.5": Facts(efforts=_OFF_TO_MAX[:-1], default=MEDIUM),
    "gpt-5.4-mini": Facts(efforts=_OFF_TO_MAX[:-1], default=NONE, context=272_000),
    "gpt-5.4-nano": Facts(efforts=_OFF_TO_MAX[:-1], default=NONE, context=272_000, ends="2027-04-01"),
    "gpt-5.1": Facts(efforts=(NONE, LOW, MEDIUM, HIGH), default=NONE, context=272_000),
    "gpt-5-mini": Facts(efforts=(MINIMAL, LOW, MEDIUM, HIGH), default=MEDIUM, context=272_000, ends="2026-12-11"),
    "gpt-5-nano": Facts(efforts=(MINIMAL, LOW, MEDIUM, HIGH), default=MEDIUM, context=272_000, ends="2026-12-11"),
    "gpt-4.1-mini": Facts(context=1_047_576, max_output=32_768, ends="2027-01-14"),
    "gpt-4.1": Facts(context=1_047_576, max_output=32_768),
    "gpt-4o-mini": Facts(context=128_000, max_output=16_384, ends="2027-01-14"),
}

#: For servers that accept any model.
ANY_MODEL = Facts(context=32_768, max_output=8_192)
