"""The pool with any number of projects that are all alike, without a store that holds them. For measuring only.

A laptop's store is one file, which is read as a whole; in production each parameter is read by itself. Here each read
costs nothing, so that what is measured is what projects cost the worker and Redis.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import replace

from pydantic import SecretStr

from config.connections import project_path, save_connection, save_project
from config.credentials import save_credential
from config.store import MemoryStore, Parameter
from config.store.base import SecretFacts
from workers import runtime
from workers.app import app

__all__ = ["app"]

_TEMPLATE = "template"
#: Names of the projects: `many-17`.
_MANY = re.compile(r"(?<=/)many-\d+(?=/|$)")


class ManyProjects(MemoryStore):
    """Knows every project whose name is `many-` and a number."""

    def __init__(self, base_url: str, *, connections: int) -> None:
        """Prepare what all projects have.

        Args:
            base_url: of the simulated vendor.
            connections: how many each project has; all but one are fallbacks.
        """
        super().__init__()
        save_project(self, _TEMPLATE)
        scope = project_path(_TEMPLATE)
        save_credential(self, scope, "main", SecretStr("sk-bench-many"))
        for number in range(connections):
            role = {"name": f"backup-{number}", "role": "fallback", "order": number} if number else {"name": "primary"}
            fixed = {"provider": "openai", "model": "gpt-6-luna", "credential": "main", "base_url": base_url}
            save_connection(self, scope, {**fixed, **role, "tpm_capacity": 10**9, "tpm_refill_per_second": 10**8})

    def get(self, path: str) -> Parameter | None:
        """As of the template."""
        found = super().get(_MANY.sub(_TEMPLATE, path))
        return found and replace(found, path=path)

    def list(self, prefix: str, *, secure: bool | None = None) -> Iterator[Parameter]:
        """As of the template."""
        name = _name(prefix)
        for found in super().list(_MANY.sub(_TEMPLATE, prefix), secure=secure):
            yield replace(found, path=found.path.replace(f"/{_TEMPLATE}/", f"/{name}/"))

    def secrets(self, prefix: str) -> Iterator[SecretFacts]:  # noqa: ARG002 - the protocol has it
        """Of none: nobody asks here."""
        return iter(())


def _name(path: str) -> str:
    found = _MANY.search(path)
    return found.group() if found else _TEMPLATE


def _open(*_: object, **__: object) -> ManyProjects:
    return ManyProjects(os.environ["BENCH_BASE_URL"], connections=int(os.environ["BENCH_CONNECTIONS"]))


# The name by which the runtime knows it.
setattr(runtime, "open_store", _open)  # noqa: B010 - it is no public name of that module
