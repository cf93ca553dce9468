"""Lua scripts as they stand in the tree, each with the functions that it shares with others."""

from functools import cache
from importlib.resources import files

#: A script that begins so says how the server is to run it; that line must stay the first.
_SHEBANG = "#!"


@cache
def lua(package: str, name: str, *, uses: tuple[tuple[str, str], ...] = ()) -> str:
    """The source of `<name>.lua` of a package.

    Args:
        package: dotted name, such as `workers.jobs`.
        name: without the ending.
        uses: package and name of files whose functions the script calls; they are put before it.
    """
    script = _read(package, name)
    shared = "".join(_read(*used) for used in uses)
    if not script.startswith(_SHEBANG):
        return shared + script
    first, rest = script.split("\n", 1)
    return f"{first}\n{shared}{rest}"


def _read(package: str, name: str) -> str:
    return files(package).joinpath(f"{name}.lua").read_text(encoding="utf-8")
