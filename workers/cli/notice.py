"""What commands that change something say when the workers could not be told of it."""

from config.settings import Settings
from workers.cli.console import err
from workers.configuration.admin import Admin


def warn_if_not_announced(admin: Admin, settings: Settings) -> None:
    """Say so on stderr when workers could not be told of a change."""
    if not admin.announced:
        err.print(
            f"Redis does not answer, so no worker was told; they notice within {settings.config_cache_ttl:g} s "
            "(BYOM_CONFIG_CACHE_TTL)."
        )
