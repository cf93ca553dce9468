"""Every kind of provider speaks, and what it says of itself agrees with the catalogue and the rest."""

import dataclasses

import pytest

from config.catalogue import load_catalogue
from tasks.contract import ProviderKind, Tier
from workers.providers.dialect import Dialect
from workers.providers.faults import HTTP_RULES
from workers.providers.rate_limits import RateLimits
from workers.providers.registry import build_batches, build_providers, dialect_of, report_readers


def test_every_kind_speaks_as_the_module_of_its_name_says() -> None:
    providers = build_providers()

    assert list(providers) == list(ProviderKind)
    assert all(kind is provider.kind for kind, provider in providers.items())


def test_nothing_of_a_dialect_has_a_default_that_the_next_vendor_would_get_unseen() -> None:
    defaults = [
        field.name
        for field in dataclasses.fields(Dialect)
        if field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
    ]

    assert defaults == []


def test_every_providers_table_knows_what_http_says() -> None:
    for provider in build_providers().values():
        assert tuple(provider.rules[-len(HTTP_RULES) :]) == HTTP_RULES


@pytest.mark.parametrize("kind", ProviderKind)
def test_headers_are_named_for_limits_that_there_are(kind: ProviderKind) -> None:
    known = {field.name for field in dataclasses.fields(RateLimits)}
    headers = dialect_of(kind).limit_headers

    assert headers.keys() <= known
    assert all(name == name.lower() for names in headers.values() for name in names)


def test_batches_are_offered_where_the_catalogue_counts_on_them() -> None:
    counted = {facts.provider for facts in load_catalogue() if Tier.BATCH in facts.economy}

    assert counted <= build_batches().keys()


def test_reports_are_read_for_kinds_that_tell_usage_by_an_api() -> None:
    assert report_readers().keys() == {kind.value for kind in ProviderKind if dialect_of(kind).report is not None}


def test_what_vendors_say_of_themselves_is_as_it_was_read() -> None:
    """Written down here a second time, on purpose; the evidence is in the docs and the catalogue."""
    dialects = {kind: dialect_of(kind) for kind in ProviderKind}
    kinds = ProviderKind

    assert {kind for kind, one in dialects.items() if one.shares_capacity} == {
        kinds.GEMINI,
        kinds.VERTEX,
        kinds.BEDROCK,
    }
    assert {kind for kind, one in dialects.items() if one.batches} == {kinds.GEMINI, kinds.ANTHROPIC}
    assert {kind for kind, one in dialects.items() if one.report} == {kinds.OPENAI, kinds.ANTHROPIC}
    assert {kind for kind, one in dialects.items() if one.listing is None} == {kinds.VERTEX, kinds.BEDROCK}
    assert {kind for kind, one in dialects.items() if not one.limit_headers} == {
        kinds.GEMINI,
        kinds.VERTEX,
        kinds.BEDROCK,
    }
