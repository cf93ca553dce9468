"""The models that are verified to work, and how each must be called.

The facts stand in `catalogue.toml`, reviewed like code, each with its evidence and date.
"""

import tomllib
from collections.abc import Iterator
from datetime import date
from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from config.errors import SettingsError, UnknownModel
from config.kinds import kind_of
from tasks.contract import ProviderKind, Tier

#: Characters of a model's name that a message shows.
_SHOWN = 80


class ReasoningOff(StrEnum):
    """How far a model's reasoning can be turned down."""

    #: The model does not reason; nothing is sent.
    NOT_NEEDED = "not_needed"
    #: It can be switched off.
    OFF = "off"
    #: It can only be turned down to a lowest level.
    LOWEST = "lowest"
    #: Unknown model: nothing is sent, the vendor's default holds.
    UNKNOWN = "unknown"


class ModelFacts(BaseModel):
    """One model of one provider."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: ProviderKind
    id: str
    #: Tokens that fit into one prompt.
    context: Annotated[int, Field(ge=1)]
    #: Tokens that the model can write.
    max_output: Annotated[int, Field(ge=1)]
    reasoning: ReasoningOff
    #: The value sent to turn reasoning off or down (an effort, a level, a budget); its field is the provider's.
    reasoning_value: str | int | None = None
    #: Smallest prompt that the vendor caches, in tokens; absent means unknown.
    cache_minimum: int | None = None
    #: Whether cache breakpoints are explicit (and implicit writes cost extra).
    explicit_cache: bool = False
    #: Cheaper tiers that jobs which can wait are served at, the one that is taken first before the others.
    economy: tuple[Tier, ...] = ()
    recommended: bool = False
    #: Whether it is the one to begin with where nothing speaks for another provider.
    first_choice: bool = False
    #: When the vendor switches it off.
    ends: date | None = None
    verified: bool = True
    #: Where these facts come from, and when they were read.
    evidence: str = ""
    as_of: date | None = None


class Catalogue:
    """All verified models."""

    def __init__(self, models: list[ModelFacts]) -> None:
        self._models = {(model.provider, model.id): model for model in models}

    def __iter__(self) -> Iterator[ModelFacts]:
        return iter(self._models.values())

    def find(self, provider: ProviderKind, model: str, *, unverified: bool = False) -> ModelFacts:
        """The facts of a model.

        Where whoever runs a server names its models, any id is taken.

        Args:
            provider: the connection's provider.
            model: the id as the provider wants it.
            unverified: take a model that is not listed, with conservative facts.

        Raises:
            UnknownModel: not listed, and not allowed to be.
        """
        facts = self._models.get((provider, model))
        if facts is not None:
            return facts
        kind = kind_of(provider)
        if unverified or kind.free_models:
            return ModelFacts(
                provider=provider,
                id=model,
                context=32_768,
                max_output=8_192,
                reasoning=ReasoningOff.UNKNOWN,
                verified=False,
            )
        known = [facts.id for facts in self._models.values() if facts.provider is provider]
        rule = f" ({kind.deployments})" if kind.deployments else ""
        close = _closest(model, known)
        raise UnknownModel(
            f"model '{_shown(model)}' of {provider.value} is not in the catalogue (known: "
            f"{', '.join(known) or 'none'}); {f'did you mean {close}? If not, ' if close else ''}choose one of "
            f"these{rule}, or mark the connection unverified to use it all the same"
        )


def _closest(model: str, known: list[str]) -> str | None:
    """The model that was probably meant: people give display names, resource paths, and ids without their region."""
    plain = "-".join(model.lower().split()).rsplit("/", 1)[-1]
    ends = (name for name in known if name.endswith(f".{plain}"))
    return next(ends, None) or next(iter(get_close_matches(plain, known, 1, 0.75)), None)


def _shown(model: str) -> str:
    """A model as a message may show it: on one line, and not for pages."""
    return "".join(character if character.isprintable() else "?" for character in model[:_SHOWN])


@lru_cache(maxsize=1)
def load_catalogue() -> Catalogue:
    """The catalogue that ships with this version.

    Raises:
        SettingsError: the data file is damaged.
    """
    text = files("config").joinpath("catalogue.toml").read_text(encoding="utf-8")
    try:
        return Catalogue([ModelFacts.model_validate(entry) for entry in tomllib.loads(text)["models"]])
    except (tomllib.TOMLDecodeError, KeyError, ValidationError) as error:
        raise SettingsError(f"config/catalogue.toml is damaged: {error}") from error
