from typing import Any

import pytest

from tasks.contract import Episode
from workers.extraction.names import is_part_of, name_key, stable_id
from workers.extraction.pronouns import resolve_pronoun, speaker_name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Acme, Inc.", "ACME Inc"),
        ("New  York", "new york"),
        ("O'Brien", "O\u2019Brien"),
        ("O'Brien", "OBrien"),
        ("Jean-Luc", "Jean Luc"),
        ("José", "Jose\u0301"),
        ("\uff21\uff23\uff2d\uff25", "Acme"),
        ("Straße", "STRASSE"),
        ("“Moby Dick”", "Moby Dick"),
    ],
)
def test_spellings_of_one_name_share_a_key(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("C", "C++"), ("C", "C#"), ("José", "Jose"), ("A&B", "AB"), ("Ana", "Anna"), ("!!!", "???"), ("@ana", "ana")],
)
def test_different_names_have_different_keys(one: str, other: str) -> None:
    assert name_key(one) != name_key(other)


def test_ids_are_stable_and_tell_their_parts_apart() -> None:
    # Frozen: pipelines store these.
    assert stable_id("ent", "acme", "person", "ana lima") == "ent_9d5d7eb078292da618cd"
    assert stable_id("ent", "a", "b c") != stable_id("ent", "a b", "c")


@pytest.mark.parametrize(
    ("part", "whole", "is_part"),
    [
        ("ana", "ana lima", True),
        ("lima", "ana lima", True),
        ("ana lima", "ana lima", False),
        ("an", "ana lima", False),
        ("rosa", "ana rosa lima", False),
    ],
)
def test_first_and_last_words_are_parts_of_a_name(part: str, whole: str, *, is_part: bool) -> None:
    assert is_part_of(part, whole) is is_part


ANA = {"kind": "message", "speaker": "Ana Lima", "role": "user"}
BOT = {"kind": "message", "speaker": "Nova", "role": "assistant"}
NAMELESS = {"kind": "message", "role": "user"}
UNKNOWN = {"kind": "message"}
TEXT = {"kind": "text"}


def episode(**fields: Any) -> Episode:
    return Episode.model_validate({"id": "e", "content": "x", **fields})


@pytest.mark.parametrize(
    ("fields", "name"), [(ANA, "Ana Lima"), (BOT, "Nova"), (NAMELESS, "user"), (UNKNOWN, None), (TEXT, None)]
)
def test_a_speaker_goes_by_name_or_else_by_role(fields: dict[str, Any], name: str | None) -> None:
    assert speaker_name(episode(**fields)) == name


@pytest.mark.parametrize(
    ("fields", "said", "meant"),
    [
        # the speaker
        (ANA, "I", "Ana Lima"),
        (ANA, "me", "Ana Lima"),
        (ANA, "We", "Ana Lima"),
        (ANA, "yo", "Ana Lima"),
        (ANA, "ich", "Ana Lima"),
        (ANA, "я", "Ana Lima"),
        (ANA, "我", "Ana Lima"),
        (ANA, "私", "Ana Lima"),
        (ANA, "أنا", "Ana Lima"),
        (ANA, "User", "Ana Lima"),
        (ANA, "the user", "Ana Lima"),
        (ANA, "the speaker", "Ana Lima"),
        (BOT, "assistant", "Nova"),
        (NAMELESS, "I", "user"),
        (UNKNOWN, "I", None),
        (TEXT, "I", None),
        # somebody else
        (ANA, "she", None),
        (ANA, "They", None),
        (ANA, "you", None),
        (ANA, "ella", None),
        (ANA, "他", None),
        # no pronouns at all
        (ANA, "Rui", "Rui"),
        (ANA, "assistant", "assistant"),
        (BOT, "user", "user"),
        (TEXT, "user", "user"),
        (UNKNOWN, "user", "user"),
        (ANA, "US", "US"),
        (ANA, "IT", "IT"),
        (ANA, "EU", "EU"),
        (ANA, "Ben", "Ben"),
        (ANA, "Io", "Io"),
        (ANA, "WHO", "WHO"),
    ],
)
def test_pronouns_mean_the_speaker_or_nobody(fields: dict[str, Any], said: str, meant: str | None) -> None:
    assert resolve_pronoun(said, episode(**fields)) == meant
