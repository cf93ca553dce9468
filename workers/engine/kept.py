"""What a unit yielded, as it is kept until its job ends. Pure."""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict

from workers import extraction


class Kept(BaseModel):
    """Memories of one unit, with the version of the prompt that they come from."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    prompt_version: str
    extracted: extraction.Extracted

    @classmethod
    def of(cls, extracted: extraction.Extracted) -> Self:
        """Memories that this version yielded."""
        return cls(prompt_version=extraction.PROMPT_VERSION, extracted=extracted)

    def text(self) -> str:
        """As it is stored."""
        return self.model_dump_json(exclude_none=True)


def read_kept(units: Mapping[int, str]) -> dict[int, extraction.Extracted]:
    """What was kept of a job, by unit; another prompt version may have cut it differently, so its parts don't fit."""
    kept = {index: Kept.model_validate_json(text) for index, text in units.items()}
    return {index: one.extracted for index, one in kept.items() if one.prompt_version == extraction.PROMPT_VERSION}
