"""What Claude's two doors, Anthropic's own API and Bedrock, have in common. Pure."""

from config.catalogue import ModelFacts

#: The catalogue's values that go into `thinking.type`; all others are efforts.
_THINKING_TYPES = frozenset({"disabled", "between_tools"})


def thinking(facts: ModelFacts) -> dict[str, str] | None:
    """The `thinking` parameter that keeps a model from thinking; None where it must not be sent."""
    value = facts.reasoning_value
    return {"type": str(value)} if value in _THINKING_TYPES else None


def effort(facts: ModelFacts) -> str | None:
    """The lowest effort, for models whose thinking cannot be switched off; None for all others."""
    value = facts.reasoning_value
    return None if value is None or value in _THINKING_TYPES else str(value)
