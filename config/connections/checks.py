"""What is judged of a connection and of a chain when they are saved, beyond what each field may be.

None of this is looked at when a job resolves its chain: what is stored already goes on working.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from config.base_urls import base_url_problem
from config.catalogue import Catalogue, ReasoningOff
from config.connections.chain import EffectiveConnection
from config.connections.model import LIMIT_FIELDS, Connection
from config.connections.profiles import ProjectProfile
from config.errors import InvalidConnection, UnknownModel
from config.kinds import kind_of
from config.prices import is_priced
from tasks.contract import ProviderKind

#: Tokens of the smallest extraction with its answer, roughly: a bucket below that holds every job up.
SMALLEST_CALL = 2_000


def check_connection(connection: Connection, *, subject: str, catalogue: Catalogue, at: datetime) -> None:
    """See that a connection can do what it says.

    Args:
        connection: with what it inherits.
        subject: whose it is, for the message.
        catalogue: the verified models.
        at: when it is saved; prices change.

    Raises:
        UnknownModel: the model is not in the catalogue and not marked unverified.
        InvalidConnection: the address belongs to another vendor, region or call; the model is not offered in the
            region; labels that the provider does not take; or a spend cap on a model whose price is not known.
    """
    try:
        catalogue.find(connection.provider, connection.model, unverified=connection.unverified)
    except UnknownModel as error:
        raise UnknownModel(f"{subject}: {error}") from None
    for problem in _problems(connection, at):
        raise InvalidConnection(f"{subject}: {problem}")
    check_labels(connection.provider, connection.labels, subject=subject)


def check_chain(
    chain: Sequence[EffectiveConnection], *, subject: str, at: datetime, concerning: str | None = None
) -> None:
    """See that the links of a chain fit together.

    Args:
        chain: of one project or account.
        subject: whose it is, for the message.
        at: when it is saved.
        concerning: name of the connection that is saved; without it, all are judged.

    Raises:
        InvalidConnection: a connection falls back to itself under another name, two set different limits for what a
            vendor meters as one, or the project's spend cap covers a model whose price is not known.
    """
    seen: dict[tuple[str | None, ...], str] = {}
    meters: dict[str, Connection] = {}
    for link in chain:
        name, connection = link.connection.name, link.connection
        first = seen.setdefault(_destination(link), name)
        if first != name and concerning in {None, first, name}:
            raise InvalidConnection(
                f"{subject} would fall back to itself: '{name}' and '{first}' call the same model of the same provider "
                "with the same credential, so what fails for one fails for the other; choose another model, credential "
                "or provider for one of them"
            )
        twin = meters.setdefault(link.key, connection)
        if concerning in {None, twin.name, name} and (differ := _differing_limits(twin, connection)):
            raise InvalidConnection(
                f"{subject} would have two limits for one thing: '{twin.name}' and '{name}' call the same model with "
                f"the same credential, which is metered as one; give both the same {' and '.join(differ)}"
            )
        if _is_capped(link.profile) and concerning in {None, name} and not _is_priced(connection, at):
            raise InvalidConnection(
                f"{subject} has a spend cap, which cannot be enforced on '{name}': the price of {connection.model} "
                f"of {connection.provider.value} is not known. Set spend caps on the connections whose models have a "
                "known price instead (byom connection set --set spend_cap_day_usd=…), or remove the project's"
            )


def check_labels(provider: ProviderKind, labels: Mapping[str, str], *, subject: str) -> None:
    """See that a connection's labels would reach its vendor as they are.

    Args:
        provider: the connection's.
        labels: the connection's, inherited ones included.
        subject: whose labels they are, for the message.

    Raises:
        InvalidConnection: they would not; says which, the vendor's rule, and what to write instead.
    """
    rule = kind_of(provider).labels
    if rule is not None and (found := "; ".join(rule.problems(labels))):
        raise InvalidConnection(
            f"{subject} has labels that {provider.value} does not take: {found}. It takes {rule.room} labels, with "
            f"{rule.words}"
        )


def connection_warnings(connection: Connection, *, catalogue: Catalogue) -> list[str]:
    """What will work, and cost more, take longer or have no effect; each with the mend."""
    return [*_model_warnings(connection, catalogue), *_limit_warnings(connection), *_cap_warnings(connection)]


def profile_warnings(profile: ProjectProfile) -> list[str]:
    """What of a project's profile has no effect."""
    return list(_cap_warnings(profile))


def _problems(connection: Connection, at: datetime) -> Iterator[str]:
    provider = connection.provider
    if connection.base_url is not None and (
        problem := base_url_problem(
            connection.base_url, provider=provider, region=connection.region, location=connection.location
        )
    ):
        yield problem
    kind = kind_of(provider)
    place = getattr(connection, kind.place.setting) if kind.place else None
    if kind.model_problem is not None and (problem := kind.model_problem(connection.model, place)):
        yield problem
    if _is_capped(connection) and not _is_priced(connection, at):
        yield (
            f"its spend cap cannot be enforced: the price of {connection.model} of {provider.value} is not known. "
            "Remove the cap, or choose a model whose price is known (byom models)"
        )


def _differing_limits(one: Connection, other: Connection) -> list[str]:
    return [name for name in LIMIT_FIELDS if getattr(one, name) != getattr(other, name)]


def _is_capped(settings: Connection | ProjectProfile) -> bool:
    return settings.spend_cap_day_usd is not None or settings.spend_cap_month_usd is not None


def _is_priced(connection: Connection, at: datetime) -> bool:
    return is_priced(connection.provider, connection.model, at=at)


def _destination(link: EffectiveConnection) -> tuple[str | None, ...]:
    """What makes two calls the same to a vendor."""
    connection = link.connection
    url = connection.base_url
    if url is not None:
        endpoint = kind_of(connection.provider).endpoint
        url = endpoint(url) if endpoint is not None else url.rstrip("/").lower()
    return (
        connection.provider.value,
        url,
        connection.region,
        connection.location,
        connection.gcp_project,
        link.credential_path,
        connection.model,
    )


def _model_warnings(connection: Connection, catalogue: Catalogue) -> Iterator[str]:
    provider, model = connection.provider, connection.model
    try:
        facts = catalogue.find(provider, model, unverified=True)
    except UnknownModel:
        return
    if facts.reasoning is ReasoningOff.LOWEST:
        yield (
            f"{model} cannot switch reasoning off; it is turned down to its lowest level ({facts.reasoning_value}). "
            "Every call still pays for reasoning tokens and takes longer; `byom models` shows which can go without"
        )
    kind = kind_of(provider)
    if kind.free_models or facts.verified:
        return
    yield (
        f"{model} is not in the catalogue of verified models: reasoning is left as the vendor sets it, which may cost "
        "tokens and time on every call, and its limits are guessed; `byom models` shows the verified ones"
    )
    if kind.deployments is not None:
        yield f"{kind.vendor} finds a model by its deployment: {kind.deployments}"


def _limit_warnings(connection: Connection) -> Iterator[str]:
    for prefix, unit in (("tpm", "tokens"), ("output_tpm", "tokens"), ("rpm", "requests")):
        capacity = getattr(connection, f"{prefix}_capacity")
        refill = getattr(connection, f"{prefix}_refill_per_second")
        if capacity is not None and refill is not None and capacity < refill:
            yield (
                f"{prefix}_capacity ({capacity} {unit}) is less than {prefix}_refill_per_second adds in one second "
                f"({refill:g}), so part of the refill is lost; raise the capacity to {refill:g} or more"
            )
    if connection.tpm_capacity < SMALLEST_CALL:
        yield (
            f"tpm_capacity ({connection.tpm_capacity} tokens) is less than a small job takes (some {SMALLEST_CALL}), "
            "so jobs have to wait for a full bucket each; raise it"
        )


def _cap_warnings(settings: Connection | ProjectProfile) -> Iterator[str]:
    day, month = settings.spend_cap_day_usd, settings.spend_cap_month_usd
    if day is not None and month is not None and day > month:
        yield (
            f"spend_cap_day_usd ({day}) is more than spend_cap_month_usd ({month}), so the day's cap is never reached; "
            "lower it or remove it"
        )
    if settings.on_spend_cap == "fail" and not _is_capped(settings):
        yield "on_spend_cap has no effect without a spend cap; set spend_cap_day_usd or spend_cap_month_usd"
