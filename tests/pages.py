"""What the pages of the documentation show: blocks of code, command lines, and pieces of code within the text."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: Pages by their path within the repository, in the order in which a reader meets them.
PAGES: Sequence[str] = (
    "README.md",
    "CONTRIBUTING.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
)

_BLOCK = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
#: Languages whose blocks are lines for a shell; in `console` those with a dollar, the others are what it answers.
SHELLS = ("sh", "console")
#: Words of a shell that begin or end what is no command by itself.
_KEYWORDS = ("for", "done")
#: A name that takes a value: before a command, or alone after `export`.
_ASSIGNMENT = re.compile(r"([A-Z_]+)=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block of a page."""

    page: str
    #: Of its first line, from 1.
    line: int
    #: The first word behind the fence: empty, or the language.
    language: str
    #: The second one: what a document is, such as `job`.
    label: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command line of a page."""

    #: As the page has it, on one line and without what is said of it.
    line: str
    page: str
    #: Its words, without variables before them and what its output goes to.
    words: tuple[str, ...]
    #: Variables that stand before it.
    variables: tuple[tuple[str, str], ...] = ()
    #: The file that its output goes to.
    into: str | None = None

    @property
    def program(self) -> str:
        """What is run."""
        return self.words[0]


def text_of(page: str) -> str:
    """The page as it is."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = text_of(page)
    return [_block(page, text, found) for found in _BLOCK.finditer(text)]


def _block(page: str, text: str, found: re.Match[str]) -> Block:
    language, _, label = found["info"].strip().partition(" ")
    line = text.count("\n", 0, found.start()) + 2
    return Block(page=page, line=line, language=language, label=label, text=found["text"])


def lines_of(block: Block) -> Iterator[str]:
    """The lines of a block for a shell, each whole."""
    joined = block.text.replace("\\\n", " ")
    for line in joined.splitlines():
        if block.language == "console" and not line.startswith("$ "):
            continue
        yield line.removeprefix("$ ").strip()


def commands(page: str) -> list[Command]:
    """All command lines in blocks of a page, in order."""
    lines = [line for block in blocks(page) if block.language in SHELLS for line in lines_of(block)]
    return [one for line in lines for one in parsed(line, page)]


def inline(page: str, *programs: str) -> list[Command]:
    """Commands of these programs that stand as code within the text."""
    prose = _BLOCK.sub("", text_of(page))
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    begins = re.compile(rf"(?:{'|'.join(programs)})\b(?![:.-])")
    return [one for span in spans if begins.match(span) for one in parsed(span, page)]


def paths(text: str) -> set[str]:
    """Files and folders of the repository that stand as code within a text."""
    folders = "tests|tasks|workers|config|docs|benchmarks|examples"
    return set(re.findall(rf"`((?:{folders})/[\w./-]*)`", text))


def parsed(line: str, page: str) -> Iterator[Command]:
    """The commands of one line: what stands behind `&&`, `|` and `;` are others."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word and set(word) <= set("|&;"):
            words = words[1:] if words[:1] == ["do"] else words
            if words and words[0] not in _KEYWORDS:
                yield _command(words, page)
            words = []
        else:
            words.append(word)


def _command(words: list[str], page: str) -> Command:
    into = None
    if ">" in words:
        at = words.index(">")
        into, words = words[at + 1], words[:at]
    variables: list[tuple[str, str]] = []
    while found := _ASSIGNMENT.fullmatch(words[0]):
        variables.append((found[1], found[2]))
        words = words[1:]
    line = shlex.join([*(f"{name}={value}" for name, value in variables), *words])
    return Command(line=line, page=page, words=tuple(words), variables=tuple(variables), into=into)
