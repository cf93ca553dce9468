from tasks.contract import FailureCode, ProviderKind, Role
from tests.support import effective
from workers.engine.routing import Hop, Route, first_route, next_route

CHAIN = [effective("primary"), effective("second", role=Role.FALLBACK), effective("third", role=Role.FALLBACK)]


def test_the_first_route_is_the_primary() -> None:
    route = first_route(CHAIN)

    assert (route.connection, route.role, route.hop, route.history) == ("primary", Role.PRIMARY, 1, ())


def test_each_connection_is_tried_once_in_order_and_the_history_says_why_it_was_left() -> None:
    second = next_route(CHAIN, first_route(CHAIN), FailureCode.PROVIDER_UNAVAILABLE)
    assert second is not None
    third = next_route(CHAIN, second, FailureCode.RATE_LIMITED)
    assert third is not None

    assert [(hop.connection, hop.code) for hop in third.history] == [
        ("primary", FailureCode.PROVIDER_UNAVAILABLE),
        ("second", FailureCode.RATE_LIMITED),
    ]
    assert (third.connection, third.hop) == ("third", 3)
    assert next_route(CHAIN, third, FailureCode.INTERNAL) is None


def test_a_connection_added_meanwhile_is_tried_and_a_removed_one_is_not() -> None:
    route = first_route([effective("gone")])

    onward = next_route(CHAIN, route, FailureCode.NO_CONNECTION)

    assert onward is not None
    assert onward.connection == "primary"


def test_an_empty_chain_leads_nowhere() -> None:
    assert next_route([], first_route(CHAIN), FailureCode.UNKNOWN_PROJECT) is None


def test_a_route_survives_the_broker_and_ignores_what_newer_workers_add() -> None:
    route = first_route(CHAIN).model_copy(
        update={"history": (Hop(connection="c", provider=ProviderKind.OPENAI, model="m", code=FailureCode.INTERNAL),)}
    )
    sent = route.model_dump(mode="json") | {"later": "field"}

    assert Route.model_validate(sent) == route
