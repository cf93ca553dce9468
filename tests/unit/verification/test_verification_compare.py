"""The catalogue and the models in use against a provider's own list."""

from collections.abc import Collection
from datetime import date

import pytest

from config.catalogue import ModelFacts, ReasoningOff, load_catalogue
from tasks.contract import ProviderKind
from workers.embedded.simulator.wire.openai_facts import MODELS as OPENAI_MODELS
from workers.verification.compare import Finding, FindingKind, compare
from workers.verification.live_models import LiveModel, LiveModels
from workers.verification.report import Status

TODAY = date(2026, 11, 23)
SOON, NEAR, FAR = date(2026, 12, 20), date(2027, 1, 14), date(2028, 1, 1)


def known(model: str, *, ends: date | None = None) -> ModelFacts:
    return ModelFacts(
        provider=ProviderKind.OPENAI,
        id=model,
        context=1_000,
        max_output=1_000,
        reasoning=ReasoningOff.NOT_NEEDED,
        ends=ends,
    )


def listing(*models: LiveModel, certain: bool = True) -> LiveModels:
    return LiveModels(models=models, certain=certain)


def found(
    catalogue: Collection[ModelFacts], in_use: Collection[str], live: LiveModels | None
) -> list[tuple[str, FindingKind, Status, bool]]:
    findings: list[Finding] = compare(catalogue, in_use, live, today=TODAY)
    return [(finding.model, finding.kind, finding.status, finding.in_use) for finding in findings]


A, A_SOON, A_NEAR = known("a"), known("a", ends=SOON), known("a", ends=NEAR)
CASES = {
    "all is well": ([A], ["a"], listing(LiveModel(id="a")), []),
    "a dated build stands for its model": ([A], ["a"], listing(LiveModel(id="a-20260101")), []),
    "gone from the catalogue's models": ([A], [], listing(), [("a", FindingKind.GONE, Status.FAILED, False)]),
    "gone while in use": ([], ["b"], listing(), [("b", FindingKind.GONE, Status.FAILED, True)]),
    "not listed where lists are no proof": (
        [A],
        ["b"],
        listing(certain=False),
        [("b", FindingKind.GONE, Status.WARNING, True)],
    ),
    "ends soon by the list": (
        [A_SOON],
        ["a"],
        listing(LiveModel(id="a", ends=SOON)),
        [("a", FindingKind.ENDING, Status.FAILED, True)],
    ),
    "ended already": (
        [known("a", ends=date(2026, 11, 1))],
        [],
        None,
        [("a", FindingKind.ENDING, Status.FAILED, False)],
    ),
    "ends in three months": (
        [A_NEAR],
        [],
        listing(LiveModel(id="a", ends=NEAR)),
        [("a", FindingKind.ENDING, Status.WARNING, False)],
    ),
    "ends soon by the catalogue, and there is no list": (
        [A_SOON],
        [],
        None,
        [("a", FindingKind.ENDING, Status.FAILED, False)],
    ),
    "the list grants more time": (
        [A_SOON],
        [],
        listing(LiveModel(id="a", ends=FAR)),
        [("a", FindingKind.END_DIFFERS, Status.WARNING, False)],
    ),
    "a day that the catalogue does not know": (
        [A],
        [],
        listing(LiveModel(id="a", ends=FAR)),
        [("a", FindingKind.END_DIFFERS, Status.WARNING, False)],
    ),
    "a list without days contradicts none": ([known("a", ends=FAR)], [], listing(LiveModel(id="a")), []),
    "deprecated without a day": (
        [A],
        [],
        listing(LiveModel(id="a", deprecated=True)),
        [("a", FindingKind.DEPRECATED, Status.WARNING, False)],
    ),
    "a new small model": (
        [A],
        [],
        listing(LiveModel(id="a"), LiveModel(id="gpt-7-nano")),
        [("gpt-7-nano", FindingKind.NEW, Status.OK, False)],
    ),
    "a model in use is no news": ([], ["gpt-7-nano"], listing(LiveModel(id="gpt-7-nano")), []),
    "large, dated, dying and other models are no news": (
        [A],
        [],
        listing(
            *(LiveModel(id=name) for name in ("a", "a-20260101", "gpt-7-sol", "gpt-7-nano-realtime", "tts-mini")),
            *(LiveModel(id=name) for name in ("gemini-9-flash-image", "gpt-7-mini-search-preview")),
            LiveModel(id="gpt-5-nano", ends=SOON),
            LiveModel(id="claude-haiku-3", deprecated=True),
        ),
        [],
    ),
}


@pytest.mark.parametrize(("catalogue", "in_use", "live", "expected"), CASES.values(), ids=CASES)
def test_what_is_worth_knowing(
    catalogue: list[ModelFacts],
    in_use: list[str],
    live: LiveModels | None,
    expected: list[tuple[str, FindingKind, Status, bool]],
) -> None:
    assert found(catalogue, in_use, live) == expected


def test_news_name_a_model_once_though_its_builds_are_listed_too() -> None:
    live = listing(LiveModel(id="gpt-7-nano-2026-10-01"), LiveModel(id="gpt-7-nano"))

    assert [model for model, *_ in found([], [], live)] == ["gpt-7-nano"]


def test_the_shipped_catalogue_agrees_with_the_vendors_list_of_its_day() -> None:
    """The simulator's table was written apart from the catalogue, from the same evidence."""
    entries = [
        LiveModel(id=name, ends=date.fromisoformat(facts.ends) if facts.ends else None)
        for name, facts in OPENAI_MODELS.items()
    ]
    catalogue = [facts for facts in load_catalogue() if facts.provider is ProviderKind.OPENAI]
    findings = compare(catalogue, [], listing(*entries), today=TODAY)

    assert [finding.model for finding in findings if finding.status is Status.FAILED] == []
    assert FindingKind.END_DIFFERS not in {finding.kind for finding in findings}


def test_a_finding_is_json() -> None:
    [finding] = compare([A_SOON], ["a"], None, today=TODAY)

    assert finding.as_json() == {
        "model": "a",
        "finding": "ending",
        "status": "failed",
        "in_use": True,
        "message": "is switched off on 2026-12-20, in 27 days",
        "ends": "2026-12-20",
    }
