"""The action table and each provider's rules: `docs/errors.md`."""

from collections.abc import Iterator, Sequence

from workers.engine.outcome import TABLE
from workers.providers.faults import EMPTY, FOREIGN, Rule
from workers.providers.registry import build_providers
from workers.reference.markdown import GENERATED, table

_HEAD = f"""\
# What follows from a fault

{GENERATED}

Every answer that is not a usable one becomes a fault of one kind, and each kind has one row: what the worker does, and
what you can do. *Tries* counts the first. When the tries are used up, or the vendor asks for a longer wait than
`BYOM_PATIENCE`, the job falls back to the project's next connection; without one it fails with the code of the row.
*Waits* says whether it first waits in its lane, where it holds no worker: `yes` means up to `BYOM_FALLBACK_PATIENCE`
before it falls back; on its last connection up to `BYOM_MAX_WAIT` before it fails. *Scope* says whether the fault
speaks of the connection, so that all episodes would meet it, or of this episode only.
"""

_RULES_HEAD = """\
# How answers are told apart

Per provider, from the top, the first row that matches. *Code* is any of the vendor's error code, error type or stop
reason. An answer that no row knows is `malformed`. Faults on the way (`connect`, `read`, `timeout`) come from the
transport, for all providers alike; answers that do not fit their schema or their episode come from the checks.
"""

_COLUMNS = (
    *("fault", "action", "tries", "tries without a fallback", "waits"),
    *("scope", "failure code", "why", "mend"),
)

_OURS = {FOREIGN: "(not the provider's error format)", EMPTY: EMPTY}


def render() -> str:
    """The whole page."""
    sections = [
        _HEAD,
        table(_COLUMNS, _actions()),
    ]
    sections.append(_RULES_HEAD)
    for kind, provider in build_providers().items():
        sections += [f"## {kind.value}\n", table(("HTTP status", "code", "fault"), map(_rule, provider.rules))]
    return "\n".join(sections)


def _actions() -> Iterator[Sequence[str]]:
    for kind, row in TABLE.items():
        last = str(row.tries_when_last or row.tries)
        how = (row.action.value, str(row.tries), last, row.waits.value, row.scope.value)
        yield f"`{kind}`", *how, f"`{row.code}`", row.why, row.mend


def _rule(rule: Rule) -> Sequence[str]:
    codes = [_OURS.get(code, f"`{code}`") for code in rule.codes]
    says = [f"message says “{phrase}”" for phrase in rule.says]
    return _statuses(rule), ", ".join([*codes, *says]) or "any", f"`{rule.kind}`"


def _statuses(rule: Rule) -> str:
    if isinstance(rule.statuses, range):
        return f"{rule.statuses.start}-{rule.statuses.stop - 1}"
    return ", ".join(map(str, rule.statuses)) or "any"
