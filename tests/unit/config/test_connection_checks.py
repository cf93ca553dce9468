"""What is judged when a connection is saved: models, addresses, places, caps, limits, and chains as a whole."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from config.base_urls import base_url_problem
from config.catalogue import load_catalogue
from config.connections import Connection, EffectiveConnection, ProjectProfile
from config.connections.checks import (
    SMALLEST_CALL,
    check_chain,
    check_connection,
    connection_warnings,
    profile_warnings,
)
from config.connections.model import LIMIT_FIELDS, VERIFIED_FIELDS, takes
from config.errors import InvalidConnection, UnknownModel
from config.kinds import KINDS
from config.kinds.bedrock import profile_problem
from tasks.contract import ProviderKind, parse_job
from workers.extraction import plan

NOW = datetime(2026, 11, 25, tzinfo=UTC)
MAIN: dict[str, Any] = {"name": "main", "provider": "openai", "model": "gpt-6-luna", "credential": "key"}
SERVER: dict[str, Any] = {
    "name": "server",
    "provider": "openai_compatible",
    "model": "qwen3-8b",
    "base_url": "http://127.0.0.1:8000/v1",
    "credential": None,
}


def connection(**changes: Any) -> Connection:
    return Connection.model_validate(MAIN | changes)


def check(**changes: Any) -> None:
    check_connection(connection(**changes), subject="connection 'main'", catalogue=load_catalogue(), at=NOW)


def warned(**changes: Any) -> list[str]:
    return connection_warnings(connection(**changes), catalogue=load_catalogue())


def chain(*documents: dict[str, Any], profile: ProjectProfile | None = None) -> list[EffectiveConnection]:
    return [
        EffectiveConnection(
            connection=Connection.model_validate(MAIN | {"role": "fallback"} | document),
            project="acme",
            account=None,
            credential_scope="/byom/projects/acme/credentials",
            origins={},
            profile=profile or ProjectProfile(),
        )
        for document in documents
    ]


def test_what_is_right_is_taken_without_a_warning() -> None:
    check(spend_cap_day_usd="5", labels={"team": "core"}, base_url="https://eu.api.openai.com/v1")

    assert warned() == []


@pytest.mark.parametrize(
    ("changes", "mend"),
    [
        ({"model": "gpt-6-lunar"}, "did you mean gpt-6-luna?"),
        ({"model": "GPT-6 Luna"}, "did you mean gpt-6-luna?"),
        ({"model": "models/gemini-2.5-flash-lite", "provider": "gemini"}, "did you mean gemini-2.5-flash-lite?"),
        ({"model": "qqqqqqqq"}, "); choose one of these, or mark"),
        ({"model": "x" * 256}, f"model '{'x' * 80}' of openai"),
    ],
)
def test_a_model_that_the_catalogue_lacks_is_refused_with_what_was_probably_meant(
    changes: dict[str, Any], mend: str
) -> None:
    document = MAIN | changes
    with pytest.raises(UnknownModel) as caught:
        load_catalogue().find(ProviderKind(document["provider"]), document["model"])

    assert mend in str(caught.value)


def test_a_model_of_two_lines_does_not_break_the_message() -> None:
    with pytest.raises(UnknownModel) as caught:
        load_catalogue().find(ProviderKind.OPENAI, "gpt\n6\u2028luna")

    assert "'gpt?6?luna'" in str(caught.value)


@pytest.mark.parametrize("changes", [{"unverified": True, "model": "new"}, SERVER])
@pytest.mark.parametrize("cap", ["spend_cap_day_usd", "spend_cap_month_usd"])
def test_a_spend_cap_on_a_model_without_a_price_is_refused(changes: dict[str, Any], cap: str) -> None:
    check(**changes)
    with pytest.raises(InvalidConnection, match=r"its spend cap cannot be enforced: the price of .* is not known"):
        check(**changes, **{cap: "5"})


def test_every_model_of_the_catalogue_can_have_a_spend_cap() -> None:
    for facts in load_catalogue():
        given = {"provider": facts.provider, "model": facts.id, "spend_cap_day_usd": "5"}
        place: dict[str, Any] = {"base_url": "https://acme.openai.azure.com/"} if "azure" in facts.provider else {}
        place |= {"region": "eu-west-1"} if facts.id.startswith("eu.") else {}
        check(**given, **place)


ADDRESSES = [
    ("openai", "https://api.openai.com/v1/chat/completions", "paste https://api.openai.com/v1 instead"),
    ("openai", "https://api.openai.com/v1/responses/", "paste https://api.openai.com/v1 instead"),
    ("openai", "https://api.anthropic.com", "base_url is anthropic's"),
    ("openai", "https://acme.openai.azure.com/openai/v1", "set provider to azure_openai"),
    ("anthropic", "https://api.anthropic.com/v1", "leave it out, or paste https://api.anthropic.com instead"),
    ("anthropic", "https://api.anthropic.com/v1/messages", "paste https://api.anthropic.com instead"),
    ("anthropic", "https://gateway.example.com/claude/v1/messages", "paste https://gateway.example.com/claude instead"),
    ("gemini", "https://us-central1-aiplatform.googleapis.com", "base_url is vertex's"),
    (
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta",
        "paste https://generativelanguage.googleapis.com in",
    ),
    (
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash-lite:generateContent",
        "paste https://generativelanguage.googleapis.com instead",
    ),
    ("vertex", "https://europe-west4-aiplatform.googleapis.com", "location is us-central1; leave base_url out"),
    ("bedrock", "https://bedrock.us-east-1.amazonaws.com", "paste https://bedrock-runtime.us-east-1.amazonaws.com"),
    ("bedrock", "https://bedrock-runtime.eu-west-1.amazonaws.com", "set region to eu-west-1"),
    ("openai_compatible", "http://127.0.0.1:8000/v1/chat/completions", "paste http://127.0.0.1:8000/v1 instead"),
]


@pytest.mark.parametrize(("provider", "url", "mend"), ADDRESSES, ids=[url for _, url, _ in ADDRESSES])
def test_an_address_that_was_meant_for_something_else_is_refused(provider: str, url: str, mend: str) -> None:
    problem = base_url_problem(url, provider=ProviderKind(provider))

    assert problem is not None
    assert mend in problem


@pytest.mark.parametrize(
    ("provider", "url"),
    [
        ("openai", "https://eu.api.openai.com/v1"),
        ("openai", "https://gateway.example.com/openai/v1"),
        ("anthropic", "https://api.anthropic.com/"),
        ("anthropic", "http://127.0.0.1:4000/anthropic"),
        ("gemini", "https://generativelanguage.googleapis.com"),
        ("vertex", "https://us-central1-aiplatform.googleapis.com"),
        ("vertex", "https://aiplatform.googleapis.com"),
        ("bedrock", "https://bedrock-runtime.us-east-1.amazonaws.com"),
        ("bedrock", "https://vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com"),
        ("openai_compatible", "https://generativelanguage.googleapis.com/v1beta/openai"),
        ("openai_compatible", "https://acme.openai.azure.com/openai/v1"),
        ("azure_openai", "https://acme.openai.azure.com/"),
    ],
)
def test_an_address_that_fits_is_taken(provider: str, url: str) -> None:
    assert base_url_problem(url, provider=ProviderKind(provider)) is None


@pytest.mark.parametrize(
    ("model", "region", "fits"),
    [
        ("us.anthropic.claude-haiku-5-5", None, True),
        ("us.anthropic.claude-haiku-5-5", "ca-central-1", True),
        ("us.anthropic.claude-haiku-5-5", "eu-west-1", False),
        ("eu.anthropic.claude-haiku-5-5", None, False),
        ("eu.anthropic.claude-haiku-5-5", "eu-north-1", True),
        ("apac.anthropic.claude-haiku-5-5", "ap-south-1", True),
        ("jp.anthropic.claude-haiku-5-5", "ap-southeast-1", False),
        ("global.anthropic.claude-haiku-5-5", "eu-west-1", True),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/x", "eu-west-1", True),
    ],
)
def test_an_inference_profile_is_called_from_its_own_part_of_the_world(
    model: str, region: str | None, *, fits: bool
) -> None:
    assert (profile_problem(model, region) is None) == fits


@pytest.mark.parametrize(
    "change",
    [
        {"model": "gpt-5.4-nano"},
        {"credential": "other"},
        {"base_url": "https://eu.api.openai.com/v1"},
        {"provider": "openai_compatible", "base_url": "http://127.0.0.1:1/v1"},
    ],
)
def test_connections_that_differ_in_where_they_go_are_no_fallback_to_themselves(change: dict[str, Any]) -> None:
    check_chain(chain({"name": "a"}, {"name": "b"} | change), subject="project 'acme'", at=NOW)


@pytest.mark.parametrize(
    "change", [{}, {"labels": {"a": "b"}}, {"order": 3}, {"max_concurrency": 4}, {"organization": "org-1"}]
)
def test_a_fallback_that_goes_to_the_same_is_refused(change: dict[str, Any]) -> None:
    links = chain({"name": "a"}, {"name": "b"} | change)

    with pytest.raises(InvalidConnection, match=r"would fall back to itself: 'b' and 'a' call the same model"):
        check_chain(links, subject="project 'acme'", at=NOW)
    check_chain(links, subject="project 'acme'", at=NOW, concerning="c")


def test_one_address_in_two_spellings_is_one() -> None:
    urls = ("https://gateway.example.com/v1", "https://Gateway.example.com/v1/")
    links = chain(*({"name": name, "base_url": url} for name, url in zip("ab", urls, strict=True)))

    with pytest.raises(InvalidConnection, match="fall back to itself"):
        check_chain(links, subject="project 'acme'", at=NOW)


@pytest.mark.parametrize("field", LIMIT_FIELDS)
def test_two_limits_for_what_is_metered_as_one_are_refused(field: str) -> None:
    pair = {"output_tpm_capacity": 9, "output_tpm_refill_per_second": 9} if "output" in field else {field: 9}
    limits = pair | ({"rpm_capacity": 9} if field == "rpm_refill_per_second" else {})
    region = {"provider": "bedrock", "model": "global.anthropic.claude-haiku-5-5"}
    links = chain({"name": "a", "region": "us-east-1"} | region, {"name": "b", "region": "eu-west-1"} | region | limits)

    with pytest.raises(InvalidConnection, match=f"two limits for one thing: .*{field}"):
        check_chain(links, subject="project 'acme'", at=NOW)


def test_a_projects_cap_needs_prices_of_all_its_models() -> None:
    capped = ProjectProfile.model_validate({"spend_cap_month_usd": "5"})
    check_chain(chain(MAIN, profile=capped), subject="project 'acme'", at=NOW)
    check_chain(chain(MAIN, SERVER), subject="project 'acme'", at=NOW)

    with pytest.raises(InvalidConnection, match="a spend cap, which cannot be enforced on 'server'"):
        check_chain(chain(MAIN, SERVER, profile=capped), subject="project 'acme'", at=NOW)


WARNED = {
    "reasoning that stays on": (
        {"provider": "gemini", "model": "gemini-3.5-flash-lite"},
        "cannot switch reasoning off; it is turned down to its lowest level (MINIMAL)",
    ),
    "a model that nobody verified": (
        {"model": "new", "unverified": True},
        "is not in the catalogue of verified models",
    ),
    "a deployment that nobody verified": (
        {"provider": "azure_openai", "model": "mine", "unverified": True, "base_url": "https://a.openai.azure.com/"},
        "the deployment's name must equal the model's id",
    ),
    "a bucket below its own refill": (
        {"tpm_capacity": 5_000, "tpm_refill_per_second": 9_000},
        "tpm_capacity (5000 tokens) is less than tpm_refill_per_second adds in one second (9000)",
    ),
    "the same for output": (
        {"output_tpm_capacity": 10, "output_tpm_refill_per_second": 20},
        "output_tpm_capacity (10 tokens) is less",
    ),
    "the same for requests": ({"rpm_capacity": 1, "rpm_refill_per_second": 2}, "rpm_capacity (1 requests) is less"),
    "a bucket below a job": ({"tpm_capacity": 1_500}, "is less than a small job takes"),
    "a day's cap above the month's": (
        {"spend_cap_day_usd": "9", "spend_cap_month_usd": "5"},
        "spend_cap_day_usd (9) is more than spend_cap_month_usd (5)",
    ),
    "what happens at no cap": ({"on_spend_cap": "fail"}, "on_spend_cap has no effect"),
}


@pytest.mark.parametrize(("changes", "words"), WARNED.values(), ids=WARNED)
def test_what_works_but_not_as_expected_is_taken_with_a_warning(changes: dict[str, Any], words: str) -> None:
    check(**changes)

    assert [warning for warning in warned(**changes) if words in warning]


def test_a_server_of_ones_own_is_taken_without_a_warning() -> None:
    assert warned(**SERVER) == []


def test_a_profile_is_warned_of_as_a_connection_is() -> None:
    odd = ProjectProfile.model_validate({"spend_cap_day_usd": "9", "spend_cap_month_usd": "5"})

    assert len(profile_warnings(odd)) == 1
    assert profile_warnings(ProjectProfile()) == []


def test_the_smallest_job_takes_about_as_much_as_is_said() -> None:
    job = parse_job({"project": "acme", "episodes": [{"id": "e1", "content": "Ada moved to Lisbon."}]})
    [unit] = plan(job, context_tokens=32_768, max_output=8_192)
    least = unit.prompt.max_output_tokens

    assert least < SMALLEST_CALL < 3 * least


@pytest.mark.parametrize(
    "changes",
    [
        {"output_tpm_capacity": 9},
        {"output_tpm_refill_per_second": 9},
        {"rpm_refill_per_second": 9},
        {"spend_cap_day_usd": "0"},
        {"spend_cap_day_usd": "-1"},
        {"spend_cap_day_usd": "NaN"},
        {"on_spend_cap": "explode"},
    ],
    ids=str,
)
def test_limits_that_contradict_each_other_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        connection(**changes)


def test_fields_are_told_apart_by_provider() -> None:
    assert takes(ProviderKind.BEDROCK, "region")
    assert not takes(ProviderKind.OPENAI, "region")
    assert all(takes(kind, "tpm_capacity") for kind in ProviderKind)
    assert set(VERIFIED_FIELDS) < set(Connection.model_fields)


def test_a_change_of_what_decides_whether_calls_work_is_to_be_verified() -> None:
    assert {"provider", "model", "credential", "base_url", "region", "organization"} < set(VERIFIED_FIELDS)
    assert not {"labels", "role", "order", "unverified", *LIMIT_FIELDS} & set(VERIFIED_FIELDS)
    assert all(kind.settings <= set(VERIFIED_FIELDS) for kind in KINDS.values())
