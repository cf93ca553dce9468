"""Two tables of the same facts, written apart: the catalogue that we send by, and what the simulator enforces."""

import pytest

from config.catalogue import ModelFacts, load_catalogue
from tasks.contract import ProviderKind
from workers.embedded.simulator.wire.openai_facts import MODELS

OPENAI = [facts for facts in load_catalogue() if facts.provider is ProviderKind.OPENAI]


def test_there_are_models_to_compare() -> None:
    assert len(OPENAI) >= 3


@pytest.mark.parametrize("facts", OPENAI, ids=lambda facts: facts.id)
def test_the_catalogue_and_the_simulator_agree(facts: ModelFacts) -> None:
    enforced = MODELS[facts.id]

    assert (enforced.context, enforced.max_output) == (facts.context, facts.max_output)
    assert enforced.counts_writes == facts.explicit_cache
    assert enforced.ends == (facts.ends.isoformat() if facts.ends else None)
    if enforced.reasons:
        assert facts.reasoning_value in enforced.efforts
    else:
        assert facts.reasoning_value is None
