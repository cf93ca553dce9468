"""Bounds of a job. Checked when a job is enqueued and again by the worker that picks it up."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Upper bounds; each is inclusive."""

    #: Episodes to extract in one job.
    episodes: int = 100
    #: Earlier episodes sent along as context.
    context_episodes: int = 20
    #: Characters of one episode's content (JSON content: of its compact serialisation).
    episode_chars: int = 200_000
    #: Characters of all episodes and context of one job together.
    job_chars: int = 1_000_000
    #: Nesting depth of JSON content; a flat object is depth 1.
    json_depth: int = 16
    #: Custom entity types of one job.
    entity_types: int = 50
    #: Characters of an entity type's name.
    entity_type_chars: int = 64
    #: Characters of an entity type's description.
    description_chars: int = 500
    #: Characters of the custom instructions.
    instructions_chars: int = 4_000
    #: Labels of one job.
    labels: int = 16
    #: Characters of ids, names, label keys and label values.
    name_chars: int = 128
    #: Characters of the language tag.
    language_chars: int = 35
    #: Characters of the callback URL.
    url_chars: int = 2_048
    #: Estimated tokens of episodes that share one prompt.
    pack_tokens: int = 4_000


#: The limits in force for contract version 1.
LIMITS = Limits()
