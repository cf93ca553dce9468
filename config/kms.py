"""A customer's own KMS key: the one that an account's secrets are encrypted with.

It holds for the secrets of the account and of its projects. Only SSM encrypts with it; the other stores keep its name,
so that a copy to SSM uses it. `config.kms_check` tries a key out.
"""

from config.connections import read_account, read_project
from config.connections.paths import ACCOUNTS, PROJECTS
from config.store import ParameterStore


def kms_key_for(store: ParameterStore, scope: str) -> str | None:
    """ARN of the KMS key that secrets below a scope are written with, or None for the store's own key.

    Args:
        store: where the profiles are.
        scope: path of a project or of an account, such as `/byom/projects/acme`. A project has its account's key.

    Raises:
        InvalidConnection: a profile is stored damaged.
        StoreError: the store cannot be read.
    """
    account: str | None = None
    if scope.startswith(f"{ACCOUNTS}/"):
        account = scope.removeprefix(f"{ACCOUNTS}/")
    elif scope.startswith(f"{PROJECTS}/"):
        profile = read_project(store, scope.removeprefix(f"{PROJECTS}/"))
        account = profile.account if profile else None
    return read_account(store, account).kms_key if account else None
