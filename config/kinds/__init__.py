"""What each kind of provider is like: one module or folder per kind, named as the kind is, with one `KIND`.

Nothing lists them: a member of `ProviderKind` is looked for under its own name.
"""

from collections.abc import Mapping
from importlib import import_module

from config.kinds.base import Kind, Place
from tasks.contract import ProviderKind


def _load(provider: ProviderKind) -> Kind:
    kind = import_module(f"{__name__}.{provider.value}").KIND
    if not isinstance(kind, Kind) or kind.provider is not provider:
        raise TypeError(f"{__name__}.{provider.value} must declare KIND, a Kind of provider {provider.value}")
    return kind


KINDS: Mapping[ProviderKind, Kind] = {provider: _load(provider) for provider in ProviderKind}


def kind_of(provider: ProviderKind) -> Kind:
    """What is true of a kind of provider."""
    return KINDS[provider]


__all__ = ["KINDS", "Kind", "Place", "kind_of"]
