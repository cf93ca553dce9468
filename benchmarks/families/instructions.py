"""Tokens of instructions for one episode, against a rival's prompts."""

import importlib
import warnings
from collections.abc import Callable
from typing import Any

from benchmarks.rows import FRACTION, CannotMeasure, Figure, Measured, Row, Sizes, at_most
from tasks.contract import ExtractionJob
from workers import extraction

#: Of Graphiti's two extraction prompts for each episode, by o200k.
GRAPHITI = 3_600
_TEXT = "I moved to Lisbon last month."


def o200k() -> Callable[[str], int]:
    """Counts the tokens of a text, with a vocabulary that is inside a wheel."""
    with warnings.catch_warnings():
        # The wheel opens its vocabulary in a way that newer Pythons deprecate.
        warnings.simplefilter("ignore")
        try:
            encoding: Any = importlib.import_module("bpe_openai").get_encoding("o200k_base")
        except ImportError:
            raise CannotMeasure("bpe-openai is not installed: pip install -e '.[bench]'") from None

    def count(text: str) -> int:
        return len(encoding.encode_ordinary(text))

    return count


def instruction_tokens(episodes: int, count_tokens: Callable[[str], int]) -> float:
    """Tokens of instructions for each of so many episodes in one prompt: all but their texts and the schema."""
    message = {"kind": "message", "speaker": "Ana", "role": "user", "reference_time": "2026-03-01T12:00:00Z"}
    job = ExtractionJob.model_validate(
        {
            "project": "acme",
            "pack_tokens": 1_000,
            "episodes": [{"id": f"x{number}", "content": _TEXT, **message} for number in range(episodes)],
        }
    )
    limits = {"context_tokens": 1_000_000, "max_output": 64_000}
    (one,) = extraction.pack(job, extraction.plan(job, **limits), done=(), split=(), **limits)
    return (count_tokens(one.prompt.system) + count_tokens(one.prompt.user)) / episodes - count_tokens(_TEXT)


def _measure(sizes: Sizes) -> Measured:
    count_tokens = o200k()
    single, packed = instruction_tokens(1, count_tokens), instruction_tokens(sizes["packed"], count_tokens)
    return Measured(
        values={"single": single / GRAPHITI, "packed": packed / GRAPHITI, "tokens": single, "tokens_packed": packed}
    )


ROWS = (
    Row(
        name="tokens",
        how="the prompt of a short message with speaker, role and time, without its text and the schema, by o200k",
        figures={
            "single": Figure(
                what="instruction tokens per episode against Graphiti's 3,600", form=FRACTION, reach=at_most(1 / 4)
            ),
            "packed": Figure(what="the same, packed by {packed}", form=FRACTION, reach=at_most(1 / 20)),
            "tokens": Figure(what="instruction tokens per episode", form="{:,.0f}"),
            "tokens_packed": Figure(what="the same, packed by {packed}", form="{:,.0f}"),
        },
        measure=_measure,
        full={"packed": 8},
        # It counts, and counts the same each time.
        repeats=1,
    ),
)
