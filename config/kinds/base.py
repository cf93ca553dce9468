"""What is to be said of a kind of provider; every field, since none has a default that would fit the next vendor."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from config.labels import LabelRule
from tasks.contract import ProviderKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where models run, for a vendor whose connections say it."""

    #: The connection's setting that names the place.
    setting: str
    #: The place of a connection that names none.
    default: str
    #: Host of a connection's own address, and its place → why the two contradict each other, with the mend.
    host_problem: Callable[[str, str], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What is true of one kind of provider, whoever calls it. How it is called stands in `workers.providers`."""

    provider: ProviderKind
    #: Its name at the beginning of a sentence.
    vendor: str
    #: Its name in OpenTelemetry's conventions for generative AI.
    telemetry_name: str

    #: Fields of a connection that have a meaning for it, beside those that all kinds have.
    settings: frozenset[str]
    #: Those that must be given → what to say where they are not.
    required: Mapping[str, str]
    #: Where its models run, if connections say it.
    place: Place | None

    #: Its public hosts. The keys of other kinds are never sent there.
    hosts: re.Pattern[str] | None
    #: Its public base URL; None where the address depends on settings.
    public_url: str | None
    #: Whether a base URL ends with the version of the API.
    versioned_url: bool
    #: Whether it may be at any host, another vendor's included.
    any_host: bool
    #: Brings the address of a customer's own resource at the vendor to one form; raises ValueError with the mend where
    #: it is something else. None for vendors without such resources.
    endpoint: Callable[[str], str] | None

    #: Whether every connection has a credential.
    needs_credential: bool
    #: A text, and the connection's place → why it cannot be a credential. None: credentials are keys of one word.
    credential_problem: Callable[[str, str | None], str | None] | None
    #: How keys begin that can only be this vendor's → what they are.
    own_keys: Mapping[str, str]
    #: How its credentials begin, though others' may, too → what they probably are.
    likely_keys: Mapping[str, str]
    #: What looks like a key of this vendor and does not serve → what to say of it.
    useless_keys: Mapping[re.Pattern[str], str]
    #: What people are asked for.
    key_words: str
    #: Variables in which people keep its keys; the first is looked at first.
    key_variables: tuple[str, ...]

    #: Whether whoever runs the server names the models: then every name is taken, and what is known of it is guessed.
    free_models: bool
    #: What to know of a model that is not found, where customers deploy models under names of their own.
    deployments: str | None
    #: A model, and the connection's place → why it cannot be called from there.
    model_problem: Callable[[str, str | None], str | None] | None

    #: Its name in the price data; None where nobody publishes prices.
    prices: str | None
    #: Whether its flex tier costs what a batch does. What is said of cached input differs from model to model: that
    #: stays at the standard rate, so that no cost is understated.
    flex_as_batch: bool
    #: Whether its limits leave out what is read from the prompt cache; others count the whole prompt.
    free_cache_reads: bool
    #: Whether a call takes its whole output cap from the limits while it is under way, and what it used when it ends.
    sets_cap_aside: bool
    #: What its field for labels takes; None where it has none.
    labels: LabelRule | None
