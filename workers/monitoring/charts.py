"""Stacked bars as inline SVG, drawn here so that a page needs no script.

The drawing is stretched to the width of the page and so holds no text: labels are HTML beside it. Colours are classes,
which the style sheet gives for light and dark.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tornado.escape import xhtml_escape

#: Units of the drawing: height in all, and room between two bars of width 1.
_HEIGHT = 100
_GAP = 0.18


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One column, from the bottom up."""

    #: Of which time.
    label: str
    values: Sequence[float]
    #: What is said when somebody points at it.
    title: str


def stacked_bars(bars: Sequence[Bar], *, description: str) -> str:
    """An SVG element.

    Args:
        bars: all with the same number of values, none of them negative.
        description: what it shows, for those who do not see it.
    """
    highest = max((sum(bar.values) for bar in bars), default=0) or 1
    columns = "".join(_column(bar, position, highest) for position, bar in enumerate(bars))
    grid = "".join(f'<line class="byom-grid" x1="0" x2="{len(bars)}" y1="{y}" y2="{y}"/>' for y in (0, 50, _HEIGHT))
    return (
        f'<svg class="byom-chart" role="img" aria-label="{xhtml_escape(description)}" '
        f'viewBox="0 0 {max(len(bars), 1)} {_HEIGHT}" preserveAspectRatio="none">{grid}{columns}</svg>'
    )


def _column(bar: Bar, position: int, highest: float) -> str:
    parts = []
    top = float(_HEIGHT)
    for series, value in enumerate(bar.values, start=1):
        height = value / highest * _HEIGHT
        top -= height
        if height > 0:
            parts.append(
                f'<rect class="byom-series-{series}" x="{position + _GAP / 2:g}" width="{1 - _GAP:g}" '
                f'y="{top:.3f}" height="{height:.3f}"/>'
            )
    # An empty column can be pointed at, too.
    parts.append(f'<rect class="byom-hit" x="{position}" width="1" y="0" height="{_HEIGHT}"/>')
    return f"<g><title>{xhtml_escape(bar.title)}</title>{''.join(parts)}</g>"
