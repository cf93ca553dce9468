"""A real PostgreSQL for tests, where the machine has one."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

#: Where Debian puts the server's programs, beside the path.
_DEBIAN = "/usr/lib/postgresql/*/bin"
#: Who runs it where we are root: PostgreSQL refuses to.
_USERS = ("postgres", "nobody")


def server_programs() -> Path | None:
    """The directory of `initdb` and `postgres`, or None."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/").glob(_DEBIAN.removeprefix("/")), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


def _user() -> str | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(user for user in _USERS if user in known)


class Postgres:
    """One server on a socket of its own, as long as the context lasts."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._user = _user()
        self._place = Path(tempfile.mkdtemp(prefix="byom-pg-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if self._user is not None:
            shutil.chown(self._place, self._user)
        data = self._place / "data"
        self._run("initdb", "--pgdata", str(data), "--username=byom", "--auth=trust", "--no-sync", "--encoding=UTF8")
        self._process = subprocess.Popen(
            [self._programs / "postgres", "-D", data, "-k", self._place, "-c", "listen_addresses=", "-c", "fsync=off"],
            user=self._user,
            cwd=self._place,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._run("pg_isready", "--host", str(self._place), "--username=byom", tries=200)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)
        shutil.rmtree(self._place)

    def clean(self) -> str:
        """URL of a database with nothing in it; the same one each time."""
        with psycopg.connect(host=str(self._place), user="byom", dbname="postgres", autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return f"postgresql://byom@/postgres?host={self._place}"

    def _run(self, program: str, *arguments: str, tries: int = 1) -> None:
        command = [str(self._programs / program), *arguments]
        for left in range(tries - 1, -1, -1):
            ended = subprocess.run(command, user=self._user, cwd=self._place, capture_output=True, check=left == 0)
            if ended.returncode == 0:
                return
            assert self._process is not None
            assert self._process.poll() is None, "the server has ended"
            try:
                self._process.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                continue
