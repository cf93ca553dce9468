"""Wall clocks of single processes that are off, and can be set while they run."""

import shutil
import struct
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

_SOURCE: Final = Path(__file__).with_name("clock.c")
_NANOSECONDS: Final = 1_000_000_000


def compiler() -> str | None:
    """What makes the library out of its source, where there is anything."""
    return shutil.which("cc")


@lru_cache(maxsize=8)
def _library(folder: Path) -> Path | None:
    cc = compiler()
    if cc is None:
        return None
    library = folder / "clock.so"
    subprocess.run([cc, "-shared", "-fPIC", "-O1", "-o", library, _SOURCE], check=True, timeout=60)
    return library


@dataclass(frozen=True, slots=True)
class Clock:
    """The wall clock of one worker, whichever process that is; right until it is set."""

    folder: Path
    name: str

    @property
    def _file(self) -> Path:
        return self.folder / f"{self.name}.clock"

    @property
    def environment(self) -> Mapping[str, str]:
        """For the process; nothing where there is no compiler: then its clock is right."""
        library = _library(self.folder)
        if library is None:
            return {}
        if not self._file.exists():
            self.set(0)
        return {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(self._file)}

    def set(self, seconds: float) -> None:
        """Let it be so many seconds ahead of the truth from now on."""
        # In place: a process that runs has this very file before it.
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("=q", round(seconds * _NANOSECONDS)))
