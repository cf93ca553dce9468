"""Numbers and times as pages show them. Pure."""

from datetime import datetime, timedelta
from decimal import Decimal

from config.prices import PICO
from workers.monitoring.usage.sums import Sums

_UNITS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))
#: Below this, more digits are shown.
_CENT = Decimal("0.01")
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def usd(pico: int) -> str:
    """Money, exact enough to be told from nothing."""
    amount = Decimal(pico) / PICO
    if amount == 0 or abs(amount) >= _CENT:
        return f"${amount:,.2f}"
    return f"${amount:.6f}"


def cost(sums: Sums) -> str:
    """A cost; what is not known is never shown as 0."""
    if sums.unpriced and not sums.cost:
        return "unknown"
    return usd(sums.cost) + (" + ?" if sums.unpriced else "")


def short(number: float) -> str:
    """A number in at most five characters or so."""
    for unit, letter in _UNITS:
        if abs(number) >= unit:
            return f"{number / unit:.3g}{letter}"
    return f"{number:.3g}"


def whole(number: float) -> str:
    """A whole number with its thousands set off."""
    return f"{round(number):,}"


def percent(share: float) -> str:
    """A share from 0 to 1; what is there is never shown as nothing."""
    if 0 < share < 0.001:  # noqa: PLR2004 - a tenth of a percent is the last digit that is shown
        return "< 0.1 %"
    return f"{share * 100:.1f} %"


def seconds(amount: float | None) -> str:
    """A span of time, in its two largest units."""
    if amount is None:
        return "unknown"
    if amount < 1:
        return f"{amount * 1000:.0f} ms" if amount else "0 s"
    if amount < _MINUTE:
        return f"{amount:.3g} s"
    if amount < _HOUR:
        return f"{amount // _MINUTE:.0f} min {amount % _MINUTE:02.0f} s"
    if amount < _DAY:
        return f"{amount // _HOUR:.0f} h {amount % _HOUR // _MINUTE:02.0f} min"
    return f"{amount // _DAY:.0f} d {amount % _DAY // _HOUR:.0f} h"


def instant(at: datetime | None) -> str:
    """A point in time, in UTC."""
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"


def since(at: datetime, now: datetime) -> str:
    """When something began that is known by the hour or by the day."""
    days = (now - at).days
    return f"since {at:%d %b %H:00}" if days < 2 else f"since {at:%Y-%m-%d}, {days} d"  # noqa: PLR2004 - a day or so


def slice_name(start: datetime, length: timedelta) -> str:
    """What an hour or a day is called below a chart."""
    return f"{start:%d %b}" if length >= timedelta(days=1) else f"{start:%d %b %H:00}"
