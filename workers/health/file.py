"""A pulse in a small file, so that another process of the machine can ask."""

from pathlib import Path

from pydantic import ValidationError

from workers.health.pulse import Pulse


class NoPulse(Exception):
    """There is no worker that can be asked; the message says the mend."""


def write_pulse(path: Path, pulse: Pulse) -> None:
    """Replace what is there, at once or not at all.

    Raises:
        OSError: it cannot be written.
    """
    whole = path.with_name(f"{path.name}.{pulse.pid}")
    whole.write_text(pulse.model_dump_json(), encoding="utf-8")
    whole.replace(path)


def read_pulse(path: Path) -> Pulse:
    """What a worker last wrote.

    Raises:
        NoPulse: nothing that can be read is there.
    """
    try:
        return Pulse.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise NoPulse(
            f"no worker writes {path}: start one with the same BYOM_HEALTH_FILE, or wait until it has started"
        ) from None
    except OSError as error:
        raise NoPulse(f"{path} cannot be read: {error.strerror}; run this as the worker's user") from None
    except ValidationError:
        raise NoPulse(f"{path} was not written by a worker of this version; restart the worker") from None
