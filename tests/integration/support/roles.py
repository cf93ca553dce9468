"""A pool whose broker knows the users of docs/deployment/redis."""

from typing import Any

import redis

from tests.integration.support.pool import ROOT, Pool

USERS = {
    words[1]: words[2:]
    for line in (ROOT / "docs/deployment/redis/users.acl").read_text(encoding="utf-8").splitlines()
    if (words := line.split())
}


class Guarded:
    """A pool whose broker knows the users of the file, with the placeholders as passwords."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        plain = redis.Redis.from_url(pool.valkey.url)
        for user, rules in USERS.items():
            if user != "default":
                plain.execute_command("ACL", "SETUSER", user, "reset", *rules)  # type: ignore[no-untyped-call]
        self.admin = redis.Redis.from_url(self.url("admin"))
        self.admin.execute_command("ACL", "SETUSER", "default", *USERS["default"])  # type: ignore[no-untyped-call]
        plain.close()

    def url(self, user: str) -> str:
        """How a user connects."""
        return self.pool.valkey.url.replace("redis://", f"redis://{user}:{user.upper()}_PASSWORD@")

    def refused(self) -> list[tuple[str, str]]:
        """Who was refused what since this was asked last."""
        entries: list[dict[Any, Any]] = self.admin.acl_log()
        self.admin.acl_log_reset()
        return sorted({(entry["username"], entry["object"]) for entry in entries})

    def may(self, user: str, *command: str) -> bool:
        """Whether a user may run a command."""
        answer = self.admin.execute_command("ACL", "DRYRUN", user, *command)  # type: ignore[no-untyped-call]
        return bool(answer == b"OK")
