"""All events and their data: `docs/reference/events.md`."""

from pydantic import BaseModel

from tasks.contract.events import DATA, Event, EventKind
from workers.reference import schemas
from workers.reference.markdown import GENERATED, anchor, code, table
from workers.reference.models import members, sections

_HEAD = f"""\
# Fields of events

{GENERATED}

Every kind of event with its data. [Events](../events.md) has an example of each, and says how they are read, posted,
signed and folded.

"""


def render() -> str:
    """The whole page."""
    models: list[type[BaseModel]] = [Event, *dict.fromkeys(DATA.values())]
    places = dict.fromkeys(schemas.PLACES, "schemas.md") | {model.__name__: "" for model in models}
    data = {kind.value: f"[{model.__name__}](#{anchor(model.__name__)})" for kind, model in DATA.items()}
    kinds = table(
        ("kind", "when, and how often", "data"), ((code(kind), says, data[kind]) for kind, says in members(EventKind))
    )
    return "\n".join([_HEAD + kinds, *sections(models, places, mode="serialization")])
