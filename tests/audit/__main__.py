"""`python -m tests.audit`: ask the advisory server about everything that is installed, and say what came of it.

Ends with 0 when nothing is known against it, with 1 when something is, and with 3 when the server could not be asked or
does not know advisories: then nothing is known, which is not the same as that nothing is wrong.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

#: Not on any index: it is what is being audited.
_OURS: Final = frozenset({"byom-workers", "byom-contract"})

#: Has advisories since 2019. A server that knows of none, such as a mirror without them, cannot vouch for anything.
_KNOWN_BAD: Final = "urllib3==1.24.1"

CLEAN, FOUND, UNKNOWN = 0, 1, 3

#: Runs pip-audit with arguments; its output.
Run = Callable[[Sequence[str]], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of an audit."""

    code: int
    lines: Sequence[str]


def audit(run: Run) -> Verdict:
    """Audit what is installed here.

    Args:
        run: runs pip-audit; `""` when it came to nothing.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as known_bad:
        known_bad.write(f"{_KNOWN_BAD}\n")
        known_bad.flush()
        probe = _dependencies(run(["--requirement", known_bad.name, "--no-deps", "--disable-pip"]))
    if not any(one.get("vulns") for one in probe or ()):
        return Verdict(
            code=UNKNOWN,
            lines=[
                f"The advisory server could not be asked, or knows nothing of {_KNOWN_BAD}, which has advisories.",
                "Nothing is known of what is installed. Run it where pypi.org can be reached.",
            ],
        )
    found = _dependencies(run(["--local", "--skip-editable"]))
    skipped = [one for one in found or () if "skip_reason" in one and one["name"] not in _OURS]
    if not found or skipped:
        names = ", ".join(one["name"] for one in skipped) or "anything"
        return Verdict(code=UNKNOWN, lines=[f"The advisory server gave no answer about {names}. Run it again."])
    bad = [(one, advisory) for one in found for advisory in one.get("vulns", ())]
    lines = [
        f"{one['name']} {one['version']}: {advisory['id']}, mended in "
        f"{', '.join(advisory['fix_versions']) or 'no version yet'}"
        for one, advisory in bad
    ]
    if bad:
        return Verdict(code=FOUND, lines=[*lines, "Raise the lower bounds in pyproject.toml to what mends it."])
    return Verdict(code=CLEAN, lines=[f"Nothing is known against the {len(found)} packages that are installed."])


def _dependencies(output: str) -> list[dict[str, Any]] | None:
    try:
        return list(json.loads(output)["dependencies"])
    except (KeyError, TypeError, ValueError):
        return None


def _pip_audit(arguments: Sequence[str]) -> str:
    options = ("--format", "json", "--progress-spinner", "off", "--timeout", "15")
    command = [sys.executable, "-m", "pip_audit", *arguments, *options]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    return ended.stdout


def main() -> None:
    """Say what came of it."""
    verdict = audit(_pip_audit)
    print("\n".join(verdict.lines), file=sys.stdout if verdict.code == CLEAN else sys.stderr)
    sys.exit(verdict.code)


if __name__ == "__main__":
    main()
