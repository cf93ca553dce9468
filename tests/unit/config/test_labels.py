"""Labels against what each vendor's field takes: refused where a user can mend them, brought into form elsewhere."""

import pickle
import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.connections import account_path, effective_chain, project_path, save_connection, save_project
from config.connections.checks import check_labels
from config.errors import InvalidConnection
from config.kinds import bedrock, gemini, openai
from config.labels import OWN_TAGS, LabelRule
from config.store import MemoryStore
from tasks.contract import ProviderKind

P = ProviderKind
OPENAI = (P.OPENAI, P.AZURE_OPENAI)
GOOGLE = (P.GEMINI, P.VERTEX)
WITHOUT_A_FIELD = (P.ANTHROPIC, P.OPENAI_COMPATIBLE)
CARRIED = {P.OPENAI: 11, P.AZURE_OPENAI: 11, P.GEMINI: 60, P.VERTEX: 60, P.BEDROCK: 11}


def numbered(count: int) -> dict[str, str]:
    return {f"label-{number}": "v" for number in range(count)}


def refusal(provider: ProviderKind, labels: dict[str, str]) -> str:
    with pytest.raises(InvalidConnection) as caught:
        check_labels(provider, labels, subject="connection 'main' of /byom/projects/acme")
    return str(caught.value)


TAKEN: list[tuple[tuple[ProviderKind, ...], dict[str, str]]] = [
    (tuple(P), {}),
    (tuple(P), {"team": "search", "cost-centre": "4711", "env_2": "live"}),
    (OPENAI, {"Cost.Centre": "R&D / EU «1»", "k" * 64: "v" * 128}),
    (OPENAI, numbered(11)),
    (GOOGLE, {"k" * 63: "v" * 63, "équipe": "été", "team": "検索", "a": "7", "b": "-_"}),
    (GOOGLE, numbered(60)),
    ((P.BEDROCK,), {"Cost.Centre": "R/D: a+b=c, $1 #2 @x_y-z.", "k" * 128: "v" * 128}),
    ((P.BEDROCK,), numbered(11)),
    (WITHOUT_A_FIELD, {"Project": "«R&D»", "project": "x", "k" * 128: "V" * 128} | numbered(200)),
]


@pytest.mark.parametrize(
    ("provider", "labels"),
    [(provider, labels) for providers, labels in TAKEN for provider in providers],
    ids=lambda value: str(value)[:40],
)
def test_what_arrives_as_it_is_is_taken(provider: ProviderKind, labels: dict[str, str]) -> None:
    check_labels(provider, labels, subject="it")


REFUSED: list[tuple[tuple[ProviderKind, ...], dict[str, str], str]] = [
    (OPENAI, {"k" * 65: "v"}, f"label '{'k' * 65}' does not fit; write '{'k' * 64}' instead"),
    (OPENAI, numbered(13), "there are 13 labels; leave out 2"),
    (GOOGLE, {"Team": "x"}, "label 'Team' does not fit; write 'team' instead"),
    (GOOGLE, {"cost.centre": "x"}, "label 'cost.centre' does not fit; write 'cost_centre' instead"),
    (GOOGLE, {"2nd": "x"}, "label '2nd' does not fit; write 'l_2nd' instead"),
    (GOOGLE, {"k" * 64: "x"}, f"write '{'k' * 63}' instead"),
    (GOOGLE, {"team": "R&D / EU"}, "the value of label 'team' does not fit; write 'r_d___eu' instead"),
    (GOOGLE, {"team": "v" * 64}, f"the value of label 'team' does not fit; write '{'v' * 63}' instead"),
    (GOOGLE, numbered(61), "there are 61 labels; leave out 1"),
    # It would be taken for ours.
    (GOOGLE, {"Project": "x"}, "label 'Project' has the name of a tag that every call carries; write 'label-project'"),
    ((P.BEDROCK,), {"team": "Straße"}, "the value of label 'team' does not fit; write 'Stra_e' instead"),
    ((P.BEDROCK,), {"team": "R&D"}, "the value of label 'team' does not fit; write 'R_D' instead"),
    ((P.BEDROCK,), numbered(12), "there are 12 labels; leave out 1"),
    *((tuple(CARRIED), {name: "x"}, f"label '{name}' has the name of a tag that every call") for name in OWN_TAGS),
]


@pytest.mark.parametrize(
    ("provider", "labels", "problem"),
    [(provider, labels, problem) for providers, labels, problem in REFUSED for provider in providers],
    ids=lambda value: str(value)[:40],
)
def test_what_would_not_arrive_as_it_is_is_refused_with_a_spelling_that_does(
    provider: ProviderKind, labels: dict[str, str], problem: str
) -> None:
    message = refusal(provider, labels)
    assert message.startswith(
        f"connection 'main' of /byom/projects/acme has labels that {provider.value} does not take"
    )
    assert problem in message
    assert f"It takes {CARRIED[provider]} labels, with keys" in message

    respelled = dict(labels)
    for old, new in re.findall(r"label '([^']+)' (?:does not fit|has the name)[^;]*; write '([^']+)'", message):
        if f"the value of label '{old}'" in message:
            respelled[old] = new
        else:
            respelled[new] = respelled.pop(old)
    if excess := re.search(r"leave out (\d+)", message):
        respelled = dict(list(respelled.items())[: -int(excess[1])])
    check_labels(provider, respelled, subject="what the message says")


def test_all_problems_are_named_at_once() -> None:
    message = refusal(P.GEMINI, {"Team": "R&D", "ok": "ok"} | numbered(60))
    assert message.count("; write '") == 2
    assert "leave out 2" in message
    assert "'ok'" not in message


MAIN: dict[str, Any] = {"name": "main", "provider": "gemini", "model": "gemini-2.5-flash-lite", "credential": "main"}


def test_a_refused_connection_is_not_written() -> None:
    store = MemoryStore()
    with pytest.raises(InvalidConnection, match=r"connection 'main' of .*acme has labels .*write 'team' instead"):
        save_connection(store, project_path("acme"), MAIN | {"labels": {"Team": "search"}})
    assert list(store.list(project_path("acme"))) == []


def test_inherited_labels_must_suit_the_projects_own_provider() -> None:
    store = MemoryStore()
    save_project(store, "acme", account="corp")
    openai = MAIN | {"provider": "openai", "model": "gpt-6-luna", "labels": {"Team": "search"}}
    save_connection(store, account_path("corp"), openai)

    with pytest.raises(InvalidConnection, match="write 'team' instead"):
        save_connection(store, project_path("acme"), MAIN)
    save_connection(store, project_path("acme"), MAIN | {"labels": {"team": "search"}})

    [link] = effective_chain(store, "acme")
    assert link.connection.labels == {"team": "search"}


def test_the_error_survives_pickling() -> None:
    error = InvalidConnection(refusal(P.GEMINI, {"Team": "x"}))
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - read where it was written


@pytest.mark.parametrize(
    ("rule", "tags", "expected"),
    [
        (gemini.LABELS, {"project": "acme", "attempt": "1.0.1"}, {"project": "acme", "attempt": "1_0_1"}),
        (gemini.LABELS, {"Cost Centre": "R&D / EU"}, {"cost_centre": "r_d___eu"}),
        (gemini.LABELS, {"équipe": "Été"}, {"équipe": "été"}),
        (gemini.LABELS, {"日本": "東京"}, {"日本": "東京"}),
        (gemini.LABELS, {"2nd": "x", "_a": "x", "": "x"}, {"l_2nd": "x", "l__a": "x", "l_": "x"}),
        (gemini.LABELS, {"k" * 80: "V" * 80, "7" * 80: ""}, {"k" * 63: "v" * 63, "l_" + "7" * 61: ""}),
        (gemini.LABELS, {"team": "first", "TEAM": "second"}, {"team": "first"}),
        # A line of the bill per call.
        (gemini.LABELS, {"job": "one per call", "Job": "too"}, {}),
        (gemini.LABELS, {"a": "e\u0301\U0001f600\u0301"}, {"a": "é__"}),
        (openai.LABELS, {"k" * 80: "v" * 600, "Team": "R&D"}, {"k" * 64: "v" * 512, "Team": "R&D"}),
        (bedrock.LABELS, {"": "no key", "Straße": "“ü”\n" + "v" * 300}, {"Stra_e": "____" + "v" * 252}),
        (bedrock.LABELS, {"a b": "x@y:/+=,.$#_-"}, {"a b": "x@y:/+=,.$#_-"}),
    ],
)
def test_a_calls_tags_are_brought_into_the_vendors_form(
    rule: LabelRule, tags: dict[str, str], expected: dict[str, str]
) -> None:
    assert rule.fit(tags) == expected


@pytest.mark.parametrize("rule", [openai.LABELS, gemini.LABELS, bedrock.LABELS])
def test_labels_give_way_to_our_own_tags_and_the_last_ones_first(rule: LabelRule) -> None:
    ours = {name: name for name in OWN_TAGS}
    fitted = rule.fit(numbered(100) | ours)
    assert len(fitted) == rule.pairs
    assert ours.keys() - rule.unsent <= fitted.keys()
    assert fitted.keys() - ours.keys() == numbered(rule.room).keys()


@pytest.mark.parametrize("rule", [openai.LABELS, gemini.LABELS, bedrock.LABELS])
def test_no_spelling_of_a_label_passes_for_another_project(rule: LabelRule) -> None:
    spellings = ("Project", "PROJECT", "\uff30roject", "pro\u200bject")
    assert rule.fit(dict.fromkeys(spellings, "globex") | {"project": "acme"})["project"] == "acme"


def google_takes(text: str) -> bool:
    return len(text) <= 63 and all(
        char in "_-" or unicodedata.category(char) in {"Ll", "Lo", "Nd", "Nl", "No"} for char in text
    )


#: Said anew, from the vendors' documents: rule, key, value, pairs.
TAKES: list[tuple[LabelRule, Any, Any, int]] = [
    (openai.LABELS, lambda key: 1 <= len(key) <= 64, lambda value: len(value) <= 512, 16),
    (
        gemini.LABELS,
        lambda key: google_takes(key) and unicodedata.category(key[0]) in {"Ll", "Lo"},
        google_takes,
        64,
    ),
    (
        bedrock.LABELS,
        re.compile(r"[a-zA-Z0-9\s:_@$#=/+,\-.]{1,256}").fullmatch,
        re.compile(r"[a-zA-Z0-9\s:_@$#=/+,\-.]{0,256}").fullmatch,
        16,
    ),
]
_texts = st.text(st.characters(codec="utf-8"), max_size=300)


@pytest.mark.parametrize(("rule", "takes_key", "takes_value", "pairs"), TAKES)
@given(st.dictionaries(_texts, _texts, max_size=80))
def test_whatever_the_tags_the_vendor_takes_them_and_fitting_again_changes_nothing(
    rule: LabelRule, takes_key: Any, takes_value: Any, pairs: int, tags: dict[str, str]
) -> None:
    fitted = rule.fit(tags)
    assert len(fitted) <= pairs
    assert all(takes_key(key) and takes_value(value) for key, value in fitted.items())
    assert rule.fit(fitted) == fitted
