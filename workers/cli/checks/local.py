"""Checks of this process: interpreter and packages."""

from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from .base import Check, fail, ok

_DISTRIBUTION = "byom-workers"


def check_python(current: tuple[int, int, int]) -> Check:
    """Whether the interpreter is new enough."""
    text = ".".join(map(str, current))
    if current < (3, 11):
        return fail("python", text, "run byom with Python 3.11 or later")
    return ok("python", text)


def check_packages(
    *,
    requirements: Callable[[str], list[str] | None] = requires,
    installed: Callable[[str], str] = version,
) -> Iterator[Check]:
    """Whether every package that the workers need is there and new enough."""
    found: list[str] = []
    for text in requirements(_DISTRIBUTION) or []:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            present = installed(requirement.name)
        except PackageNotFoundError:
            yield fail(f"package {requirement.name}", "not installed", "install again with: make install")
            continue
        if requirement.specifier.contains(present, prereleases=True):
            found.append(f"{requirement.name} {present}")
        else:
            mend = f"needs {requirement.specifier}; install again with: make install"
            yield fail(f"package {requirement.name}", present, mend)
    yield ok("packages", ", ".join(found))
