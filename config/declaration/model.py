"""What stands in a configuration file, and its JSON Schema."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from config.connections import AccountProfile, Connection, ProjectProfile
from config.connections.documents import Document
from tasks.contract.fields import Identifier

#: Under which name the schema is published.
SCHEMA_NAME = "byom-config.v1"

_STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _without_default(schema: dict[str, Any]) -> None:
    """What is left out is inherited; null would be a value of its own."""
    schema.pop("default", None)


def _settings_model() -> type[BaseModel]:
    """All fields of a connection but its name, each of which a level may leave out."""
    fields: dict[str, Any] = {
        name: (field.rebuild_annotation(), Field(default=None, json_schema_extra=_without_default))
        for name, field in Connection.model_fields.items()
        if name != "name"
    }
    return create_model(
        "ConnectionSettings",
        __config__=_STRICT,
        __doc__="What one level sets of a connection; what it leaves out it inherits, or it has the default.",
        **fields,
    )


ConnectionSettings = _settings_model()


def as_set(settings: BaseModel) -> Document:
    """Only the fields that are set, as the store keeps them."""
    return settings.model_dump(mode="json", exclude_unset=True)


class LevelEntry(BaseModel):
    """What an account or a project sets."""

    model_config = _STRICT

    connections: dict[Identifier, ConnectionSettings] = {}  # type: ignore[valid-type]  # made of `Connection` above

    def documents(self) -> dict[str, Document]:
        """Name → what the level sets of the connection."""
        return {name: as_set(settings) for name, settings in sorted(self.connections.items())}


class AccountEntry(LevelEntry):
    """An account: the defaults of its projects."""

    profile: AccountProfile = AccountProfile()


class ProjectEntry(LevelEntry):
    """A project: what it sets itself."""

    profile: ProjectProfile = ProjectProfile()


class ConfigFile(BaseModel):
    """Accounts and projects with their connections, exactly as each level sets them. Credentials are names only."""

    model_config = ConfigDict(**_STRICT, title="byom configuration")

    version: Literal[1]
    accounts: dict[Identifier, AccountEntry] = {}
    projects: dict[Identifier, ProjectEntry] = {}


def declaration_schema() -> dict[str, Any]:
    """The JSON Schema of the file, for editors and for checks in a pipeline."""
    schema = ConfigFile.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"byom:{SCHEMA_NAME}", **schema}
