"""Regions of AWS and locations of Google: how they are spelt, and what people write instead. Pure."""

import re

#: The same two rules as published schemas say them.
REGION = r"^[a-z]{2}(-[a-z]+)+-[0-9]$"
LOCATION = r"^[a-z]+(-[a-z]+)*[0-9]*$"

_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]")
_LOCATION = re.compile(r"[a-z]+(?:-[a-z]+)*[0-9]*")


def check_region(value: str) -> str:
    """A region of AWS as it is written in an endpoint.

    Raises:
        ValueError: it is none; says what to write instead.
    """
    if _REGION.fullmatch(value):
        return value
    plain = value.strip().lower()
    if _REGION.fullmatch(plain):
        raise ValueError(f"is not written as AWS does; write {plain}")
    if zone := re.fullmatch(rf"({_REGION.pattern})[a-z]", plain):
        raise ValueError(f"is an availability zone; write its region, {zone[1]}")
    if google := re.fullmatch(r"([a-z]{2}(?:-[a-z]+)+)(\d)", plain):
        raise ValueError(f"lacks the last hyphen, as Google writes it; write {google[1]}-{google[2]}")
    raise ValueError("is not a region of AWS; write its code, such as us-east-1 or eu-central-1")


def check_location(value: str) -> str:
    """A location of Vertex AI: a region, a multi-region or `global`.

    Raises:
        ValueError: it is none; says what to write instead.
    """
    if _LOCATION.fullmatch(value):
        return value
    plain = value.strip().lower()
    if _LOCATION.fullmatch(plain):
        raise ValueError(f"is not written as Google does; write {plain}")
    if zone := re.fullmatch(r"([a-z]+-[a-z]+\d+)-[a-z]", plain):
        raise ValueError(f"is a zone; write its region, {zone[1]}")
    if amazon := re.fullmatch(r"([a-z]+-[a-z]+)-(\d+)", plain):
        raise ValueError(f"has a hyphen too many, as AWS writes it; write {amazon[1]}{amazon[2]}")
    raise ValueError("is not a location of Vertex AI; write us-central1, europe-west4 or global")
