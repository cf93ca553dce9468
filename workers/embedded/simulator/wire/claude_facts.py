"""What Claude models accept, as far as the simulator enforces it.

Written apart from `config/catalogue.toml` on purpose: two tables that must agree catch each other's mistakes.
As of 2026-11-23.
"""

import re
from dataclasses import dataclass

LOW, MEDIUM, HIGH, XHIGH, MAX = "low", "medium", "high", "xhigh", "max"
EFFORTS = (LOW, MEDIUM, HIGH, XHIGH, MAX)
ADAPTIVE, BETWEEN_TOOLS, DISABLED, ENABLED = "adaptive", "between_tools", "disabled", "enabled"
#: Kinds of `thinking` with which no thinking happens.
OFF = frozenset({BETWEEN_TOOLS, DISABLED})

#: Tokens that a simulated model spends on thinking, by effort.
THINKING_TOKENS = {LOW: 128, MEDIUM: 512, HIGH: 2_048, XHIGH: 8_192, MAX: 16_384}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One model."""

    name: str
    #: Kinds of `thinking` that it accepts.
    thinking: frozenset[str]
    #: What it does when the request names none.
    default: str = ADAPTIVE
    #: Whether `output_config.effort` is accepted.
    efforts: bool = True
    #: Whether it can be forced to call a tool.
    forced_tools: bool = True
    #: Whether Bedrock enforces schemas for it.
    native_output: bool = True
    #: Input tokens that fit.
    context: int = 1_000_000
    max_output: int = 128_000
    #: Smallest prefix that is cached, in tokens.
    cache_minimum: int = 512


MODELS: dict[str, Facts] = {
    "claude-haiku-5-5": Facts(name="Claude Haiku 5.5", thinking=frozenset({ADAPTIVE, DISABLED})),
    "claude-haiku-4-5": Facts(
        name="Claude Haiku 4.5",
        thinking=frozenset({DISABLED, ENABLED}),
        default=DISABLED,
        efforts=False,
        native_output=False,
        context=200_000,
        max_output=64_000,
        cache_minimum=4_096,
    ),
    "claude-sonnet-5": Facts(name="Claude Sonnet 5", thinking=frozenset({ADAPTIVE, DISABLED}), native_output=False),
    "claude-sonnet-5-5": Facts(
        name="Claude Sonnet 5.5", thinking=frozenset({ADAPTIVE, BETWEEN_TOOLS}), forced_tools=False
    ),
    "claude-opus-5-5": Facts(name="Claude Opus 5.5", thinking=frozenset({ADAPTIVE}), forced_tools=False),
}

#: Bedrock's name of a model: where it runs, the model, and for older ones a date and a version.
BEDROCK_ID = re.compile(
    r"(?:(?P<place>global|us|eu|apac|jp|au|ca|in|us-gov)\.)?anthropic\.(?P<model>claude-[a-z0-9-]+?)(?:-\d{8}-v\d+:\d+)?"
)
#: A profile of the customer's own, for cost allocation; the simulator's all lead to this model.
PROFILE_ARN = re.compile(r"arn:aws:bedrock:[a-z0-9-]+:\d{12}:application-inference-profile/[a-z0-9]+")
PROFILE_MODEL = "claude-haiku-5-5"


def thinking_tokens(
    facts: Facts, *, thinking: str | None, budget: int | None, effort: str | None, forced_tool: bool
) -> int:
    """Tokens that a model spends on thinking before it answers a request.

    Raises:
        ValueError: the model does not take these parameters; says why, in the vendor's way.
    """
    if thinking is not None and thinking not in facts.thinking:
        raise ValueError(f'"thinking.type.{thinking}" is not supported for this model.')
    if (thinking == ENABLED) is not (budget is not None):
        raise ValueError("thinking.budget_tokens: belongs to thinking of type 'enabled', which needs it")
    if effort is not None and not facts.efforts:
        raise ValueError("This model does not support the effort parameter.")
    if forced_tool and not facts.forced_tools:
        raise ValueError("tool_choice: this model does not support forcing a tool call.")
    if forced_tool and thinking in {ADAPTIVE, ENABLED}:
        raise ValueError("Thinking may not be enabled when tool_choice forces tool use.")
    if (thinking or facts.default) in OFF:
        if effort in {XHIGH, MAX}:
            raise ValueError(f"output_config.effort: '{effort}' is not supported with thinking turned off.")
        return 0
    return budget or THINKING_TOKENS[effort or MEDIUM]
