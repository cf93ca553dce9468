"""Who may see Flower.

A login is asked for unless somebody says otherwise, and never left out where others can reach it.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from pydantic import SecretStr

#: The name in a login that is made up.
OPERATOR = "operator"
#: Bytes of randomness in a password that is made up.
_BYTES = 18

#: Flower's own settings of who may see it, as variables of the environment.
_BASIC, _OAUTH, _OPEN_API = "FLOWER_BASIC_AUTH", "FLOWER_AUTH", "FLOWER_UNAUTHENTICATED_API"


class AccessRefused(Exception):
    """Flower would be open to strangers, or a login is not one; the message says the mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may see Flower."""

    #: `user:password`; empty where there is no login by password.
    logins: Sequence[str] = field(default=(), repr=False)
    #: Whether the password was made up just now, and has to be told.
    made_up: bool = False


def new_login() -> SecretStr:
    """A login with a password that nobody knows yet."""
    return SecretStr(f"{OPERATOR}:{secrets.token_urlsafe(_BYTES)}")


def choose_access(
    *, address: str, file: Path | None, setting: SecretStr | None, environ: Mapping[str, str], without: bool
) -> Access:
    """Decide who may see Flower.

    Args:
        address: what it listens on; empty means every interface.
        file: has one `user:password` a line.
        setting: logins separated by commas, which a file beats.
        environ: may hold Flower's own settings, which come last.
        without: no login is wanted.

    Raises:
        AccessRefused: as the class says.
    """
    open_api = environ.get(_OPEN_API, "").lower() in {"1", "true", "yes"}
    if open_api and not is_loopback(address):
        raise AccessRefused(
            f"{_OPEN_API} lets everybody who can reach {address or 'this machine'} steer the workers; unset it, or "
            "listen on 127.0.0.1"
        )
    if without:
        if not is_loopback(address):
            raise AccessRefused(
                f"Flower would be open to everybody who can reach {address or 'this machine'}. Leave --no-auth out, or "
                "listen on 127.0.0.1"
            )
        return Access()
    logins = _logins(file, setting, environ)
    if logins:
        return Access(logins=logins)
    if environ.get(_OAUTH):
        return Access()
    if not is_loopback(address):
        raise AccessRefused(
            f"Flower would listen on {address or 'every interface'} without a login. Set "
            "BYOM_FLOWER_AUTH=USER:PASSWORD or give --basic-auth-file FILE, and put TLS in front of it; or listen on "
            "127.0.0.1"
        )
    return Access(logins=(new_login().get_secret_value(),), made_up=True)


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach what listens there."""
    if address == "localhost":
        return True
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _logins(file: Path | None, setting: SecretStr | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    if file is not None:
        try:
            found, where = file.read_text(encoding="utf-8").splitlines(), str(file)
        except (OSError, UnicodeDecodeError) as error:
            raise AccessRefused(f"cannot read the logins in {file}: {getattr(error, 'strerror', error)}") from error
        if not any(line.strip() for line in found):
            raise AccessRefused(f"there is no login in {file}; write one USER:PASSWORD a line")
    elif setting is not None:
        found, where = setting.get_secret_value().split(","), "BYOM_FLOWER_AUTH"
    else:
        found, where = environ.get(_BASIC, "").split(","), _BASIC
    logins = tuple(line.strip() for line in found if line.strip())
    for login in logins:
        user, colon, password = login.partition(":")
        if not (user and colon and password):
            raise AccessRefused(f"a login in {where} is not USER:PASSWORD")
    return logins
