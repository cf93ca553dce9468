"""What comments, docstrings and pages call by its full name is there, under that name."""

import pkgutil
import re
from pathlib import Path

from tests.pages import PAGES, ROOT

_NAME = re.compile(r"(?<![\w./-])(?:config|tasks|workers)(?:\.[A-Za-z_]\w*)+(?![\w/])")
_PATH = re.compile(r"(?<![\w./-])(?:config|tasks|workers)/[\w/.-]*\w")
#: Places for any kind of provider; kinds that tests make up; and what is no name of ours.
_OTHERS = re.compile(r".*\bKIND\b.*|.*\btoy\b.*|config\.(v1|k8s\.io.*)|workers\.x|(config|tasks)\.(py|MINE)")
#: Ends of names that are files beside the modules.
_FILE = re.compile(r"(?P<stem>.*)\.(?P<kind>py|lua|toml)")
#: Docstrings and comments of Python.
_PROSE = re.compile(r'"""(?:.*?)"""|#:? [^\n]*', re.DOTALL)


def prose(path: Path) -> str:
    """What a file says to people: all of a page or a script, comments and docstrings of Python."""
    text = path.read_text(encoding="utf-8")
    return "\n".join(_PROSE.findall(text)) if path.suffix == ".py" else text


def names_anything(name: str) -> bool:
    """Whether it is a module, or something in one; fields of a class count."""
    if found := _FILE.fullmatch(name):
        return (ROOT / found["stem"].replace(".", "/")).with_suffix(f".{found['kind']}").exists()
    try:
        pkgutil.resolve_name(name)
    except (AttributeError, ImportError):
        owner, _, field = name.rpartition(".")
        return "." in owner and field in getattr(pkgutil.resolve_name(owner), "__annotations__", {})
    return True


def test_names_and_paths_of_ours_are_right_wherever_they_are_mentioned() -> None:
    folders = (ROOT / name for name in ("benchmarks", "config", "tasks", "tests", "workers"))
    code = [path for folder in folders for path in folder.rglob("*") if path.suffix in {".py", ".lua"}]
    said = {path.relative_to(ROOT): prose(path) for path in [*code, *(ROOT / page for page in PAGES)]}
    names = {(name, path) for path, text in said.items() for name in _NAME.findall(text) if not _OTHERS.fullmatch(name)}
    paths = {(name, path) for path, text in said.items() for name in _PATH.findall(text) if not _OTHERS.fullmatch(name)}

    assert len(names) > 50
    assert len(paths) > 50
    assert sorted(f"{path}: {name}" for name, path in names if not names_anything(name)) == []
    assert sorted(f"{path}: {name}" for name, path in paths if not (ROOT / name).exists()) == []
