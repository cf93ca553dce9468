"""What systemd is told of a process, as sd_notify(3) would: a datagram to a socket that it names."""

import contextlib
import os
import socket
from collections.abc import Mapping

from workers.health.judging import Health
from workers.health.pulse import Stage


def notify(health: Health, environment: Mapping[str, str] = os.environ) -> None:
    """Tell systemd how a worker is, if it asked; one that is stuck says nothing, and is killed after `WatchdogSec`."""
    address = environment.get("NOTIFY_SOCKET")
    if not address or not health.live:
        return
    lines = [
        # The process is up; systemd need not wait for a broker that is away.
        "READY=1",
        "WATCHDOG=1",
        f"STATUS={health.stage.value}" + "".join(f"; {problem.what}" for problem in health.problems),
        *(["STOPPING=1"] if health.stage is Stage.DRAINING else []),
    ]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        # A name that begins with @ is in the kernel's abstract namespace.
        channel.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        channel.send("\n".join(lines).encode())
