"""All settings with their meaning: `docs/settings.md`."""

from pydantic import SecretStr

from config.settings import Settings
from workers.reference.comments import meanings
from workers.reference.kinds import default_of, takes
from workers.reference.markdown import GENERATED, table

_HEAD = f"""\
# Settings

{GENERATED}

What one process runs with: a worker, Flower, or a call of `byom`. Each stands in the environment under the name given
here, or in `byom.toml` in the current directory without `BYOM_` and in lower case. Flags of the
[command line](cli.md#configuration) beat the environment, which beats the file, which beats the default. A value that
does not fit, or a name that is nearly one of these, is refused with the mend before anything starts. In the environment
lists and objects are written as JSON.

What is configured for accounts, projects and connections is another matter: see [configuration](configuration.md).

"""


def render() -> str:
    """The whole page."""
    schemas = Settings.model_json_schema()["properties"]
    told = meanings(Settings)
    rows = (
        (f"`BYOM_{name.upper()}`", takes(schemas[name]), _default(field.default), told[name])
        for name, field in Settings.model_fields.items()
    )
    return _HEAD + table(("setting", "takes", "default", "what for"), rows)


def _default(value: object) -> str:
    # A secret of the code's own is none.
    return default_of(value.get_secret_value() if isinstance(value, SecretStr) else value)
