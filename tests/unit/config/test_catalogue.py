import tomllib
from collections import Counter
from datetime import date
from importlib.resources import files

import pytest

from config.catalogue import ModelFacts, ReasoningOff, load_catalogue
from config.errors import UnknownModel
from tasks.contract import ProviderKind

_WRITTEN_ON = date(2026, 11, 23)
_LISTED = list(load_catalogue())


def _name(facts: ModelFacts) -> str:
    return f"{facts.provider}/{facts.id}"


@pytest.mark.parametrize("facts", _LISTED, ids=_name)
def test_every_model_has_its_evidence(facts: ModelFacts) -> None:
    assert facts.verified
    assert facts.evidence
    assert facts.as_of is not None
    assert facts.as_of >= _WRITTEN_ON


@pytest.mark.parametrize("facts", _LISTED, ids=_name)
def test_no_model_was_over_when_it_was_read(facts: ModelFacts) -> None:
    assert facts.as_of is not None
    assert facts.ends is None or facts.ends > facts.as_of


@pytest.mark.parametrize("facts", _LISTED, ids=_name)
def test_a_model_that_reasons_says_how_that_is_turned_down(facts: ModelFacts) -> None:
    turned_down = facts.reasoning in {ReasoningOff.OFF, ReasoningOff.LOWEST}
    assert turned_down == (facts.reasoning_value is not None)
    assert facts.reasoning is not ReasoningOff.UNKNOWN


@pytest.mark.parametrize("facts", _LISTED, ids=_name)
def test_an_answer_fits_into_the_model(facts: ModelFacts) -> None:
    assert facts.max_output < facts.context


def test_no_model_is_listed_twice() -> None:
    entries = tomllib.loads(files("config").joinpath("catalogue.toml").read_text(encoding="utf-8"))["models"]
    counted = Counter((entry["provider"], entry["id"]) for entry in entries)
    assert [name for name, times in counted.items() if times > 1] == []
    assert len(entries) == len(_LISTED)


def test_each_provider_recommends_one_model() -> None:
    recommended = {facts.provider: facts.id for facts in _LISTED if facts.recommended}
    assert Counter(facts.provider for facts in _LISTED if facts.recommended).most_common(1)[0][1] == 1
    assert recommended == {
        ProviderKind.OPENAI: "gpt-6-luna",
        ProviderKind.AZURE_OPENAI: "gpt-6-luna",
        ProviderKind.ANTHROPIC: "claude-haiku-5-5",
        ProviderKind.GEMINI: "gemini-2.5-flash-lite",
        ProviderKind.VERTEX: "gemini-3.5-flash-lite",
        ProviderKind.BEDROCK: "global.anthropic.claude-haiku-5-5",
    }


def test_one_model_is_the_first_choice_where_nothing_speaks_for_another() -> None:
    assert [(facts.provider, facts.id) for facts in _LISTED if facts.first_choice] == [
        (ProviderKind.GEMINI, "gemini-2.5-flash-lite")
    ]


def test_a_model_that_is_not_listed_is_refused_with_those_that_are() -> None:
    with pytest.raises(UnknownModel, match="gpt-6-luna"):
        load_catalogue().find(ProviderKind.OPENAI, "gpt-5-mini")


@pytest.mark.parametrize(
    ("provider", "unverified"), [(ProviderKind.OPENAI, True), (ProviderKind.OPENAI_COMPATIBLE, False)]
)
def test_an_unlisted_model_that_is_taken_gets_conservative_facts(
    provider: ProviderKind,
    unverified: bool,  # noqa: FBT001 - pytest passes parameters by name
) -> None:
    facts = load_catalogue().find(provider, "my-model", unverified=unverified)
    assert not facts.verified
    assert facts.reasoning is ReasoningOff.UNKNOWN
    assert not facts.explicit_cache
