"""A thread that passes on how the worker is, every second: to a file, and to systemd."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from workers.health.file import write_pulse
from workers.health.judging import Health, judge
from workers.health.pulse import Heart, Part, Pulse
from workers.health.systemd import notify

_log = structlog.get_logger(__name__)

#: Seconds between two looks.
_EVERY = 1.0


class Watch:
    """Watches a heart until the process ends."""

    def __init__(
        self,
        heart: Heart,
        *,
        path: Path | None,
        tell: Callable[[Health], None] = notify,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what to pass on, and where to.

        Args:
            heart: of this process.
            path: where the pulse is written; None: nowhere.
            tell: takes each verdict.
            now: the heart's clock.
        """
        self._heart, self._path, self._tell, self._now = heart, path, tell, now
        self._stuck = False
        self._unwritten = False

    def start(self) -> None:
        """Begin, in a thread that ends with the process."""
        threading.Thread(target=self._run, name="byom-health", daemon=True).start()

    def _run(self) -> None:
        wait = threading.Event().wait
        while True:
            self.look()
            wait(_EVERY)

    def look(self) -> None:
        """Look once, and pass on what is seen."""
        self._heart.beat(Part.WATCH)
        pulse = self._heart.pulse()
        health = judge(pulse, now=self._now())
        if not health.live and not self._stuck:
            _log.error("worker_stuck", problems=[problem.what for problem in health.problems])
        elif health.live and self._stuck:
            _log.warning("worker_moves_again")
        self._stuck = not health.live
        if self._path is not None:
            self._write(self._path, pulse)
        self._tell(health)

    def _write(self, path: Path, pulse: Pulse) -> None:
        try:
            write_pulse(path, pulse)
        except OSError as error:
            # Jobs matter more; whoever asks sees that the file is old.
            if not self._unwritten:
                _log.error(
                    "health_not_written",
                    path=str(path),
                    error=error.strerror,
                    mend="let the worker's user write where BYOM_HEALTH_FILE says",
                )
            self._unwritten = True
            return
        self._unwritten = False
