"""What is declared of each kind of provider agrees with itself, with the other kinds, and with what uses it."""

import dataclasses
from itertools import combinations
from urllib.parse import urlsplit

import pytest
from genai_prices.data import providers as priced

from config.catalogue import load_catalogue
from config.connections import Connection
from config.kinds import KINDS, Kind, kind_of
from config.labels import OWN_TAGS
from config.secret_looks import secret_kind
from tasks.contract import ProviderKind
from workers.log import redact

EVERY = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def test_every_kind_is_declared_under_its_own_name() -> None:
    assert list(KINDS) == list(ProviderKind)
    assert all(kind_of(provider).provider is provider for provider in ProviderKind)


def test_nothing_of_a_kind_has_a_default_that_the_next_vendor_would_get_unseen() -> None:
    defaults = [
        field.name
        for field in dataclasses.fields(Kind)
        if field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
    ]

    assert defaults == []


@EVERY
def test_settings_are_fields_of_a_connection_and_what_is_required_is_among_them(kind: Kind) -> None:
    assert kind.settings <= Connection.model_fields.keys()
    assert kind.required.keys() <= kind.settings
    assert all(setting in mend for setting, mend in kind.required.items())
    assert kind.place is None or kind.place.setting in kind.settings


def test_kinds_have_names_of_their_own() -> None:
    assert len({kind.vendor for kind in KINDS.values()} - {""}) == len(KINDS)
    assert len({kind.telemetry_name for kind in KINDS.values()} - {""}) == len(KINDS)


@EVERY
def test_a_public_address_is_at_the_kinds_own_host_and_at_no_others(kind: Kind) -> None:
    if kind.public_url is None:
        assert kind.endpoint or kind.place or kind.any_host, "nobody knows where it is"
        return
    url = urlsplit(kind.public_url)

    owners = [other for other in KINDS.values() if other.hosts and other.hosts.fullmatch(url.hostname or "")]

    assert owners == [kind]
    assert bool(url.path) is kind.versioned_url


def test_no_key_can_be_two_vendors_own() -> None:
    begins = [start for kind in KINDS.values() for start in kind.own_keys]

    assert [
        pair for pair in combinations(begins, 2) if pair[0].startswith(pair[1]) or pair[1].startswith(pair[0])
    ] == []


@EVERY
def test_variables_for_keys_are_named_where_a_key_is_one_word(kind: Kind) -> None:
    assert not kind.key_variables or (kind.needs_credential and kind.credential_problem is None)
    assert all(name.isupper() for name in kind.key_variables)
    assert kind.key_words


@EVERY
def test_the_price_data_knows_the_kind(kind: Kind) -> None:
    assert kind.prices is None or kind.prices in {vendor.id for vendor in priced}
    # Without prices spend caps do not hold: only where whoever runs the server sets them.
    assert (kind.prices is None) is kind.free_models


def test_what_vendors_count_and_charge_is_as_it_was_read() -> None:
    """Written down here a second time, on purpose; the evidence is in the docs and the catalogue."""
    kinds = ProviderKind

    assert {kind.provider for kind in KINDS.values() if kind.free_cache_reads} == {kinds.ANTHROPIC}
    assert {kind.provider for kind in KINDS.values() if kind.sets_cap_aside} == {kinds.BEDROCK}
    assert {kind.provider for kind in KINDS.values() if kind.flex_as_batch} == {kinds.GEMINI, kinds.VERTEX}
    assert {kind.provider for kind in KINDS.values() if kind.labels is None} == {
        kinds.ANTHROPIC,
        kinds.OPENAI_COMPATIBLE,
    }
    assert {kind.provider for kind in KINDS.values() if not kind.needs_credential} == {kinds.OPENAI_COMPATIBLE}
    assert {kind.provider for kind in KINDS.values() if kind.any_host} == {kinds.OPENAI_COMPATIBLE}


@EVERY
def test_our_own_tags_fit_into_the_field_for_labels(kind: Kind) -> None:
    if kind.labels is not None:
        assert kind.labels.room > 0
        assert all(kind.labels.key(tag) == tag for tag in OWN_TAGS)


@EVERY
def test_the_catalogue_recommends_a_model_of_it_unless_models_are_free(kind: Kind) -> None:
    recommended = [facts.id for facts in load_catalogue() if facts.provider is kind.provider and facts.recommended]

    assert bool(recommended) is not kind.free_models


@EVERY
def test_own_keys_are_kept_out_of_names_and_logs(kind: Kind) -> None:
    for start in kind.own_keys:
        key = f"{start}7f3a9c0d5e41bb027f3a9c0d5e41bb02xyz"
        assert secret_kind(f"my-{key}"), f"{start} is not known to config.secret_looks"
        event = redact(None, "info", {"event": f"refused: {key}"})["event"]
        assert key not in event, f"{start} is not known to workers.log"
