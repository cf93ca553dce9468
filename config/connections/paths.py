"""Where accounts and projects keep their connections and credentials in the parameter store.

/byom/projects/<project>/profile                 what is set for the project as a whole
/byom/projects/<project>/connections/<name>      a connection of the project
/byom/projects/<project>/credentials/<name>      the life of a credential: its versions and which is active
/byom/projects/<project>/secrets/<name>/<n>      one version's secret; the only values that are stored encrypted
/byom/accounts/<account>/…                       the same, as defaults for the account's projects
"""

from config.store import join_path

PROJECTS = "/byom/projects"
ACCOUNTS = "/byom/accounts"


def project_path(project: str) -> str:
    """Parameter path of a project.

    Raises:
        StoreError: this cannot be the name of a project.
    """
    return join_path(PROJECTS, project)


def account_path(account: str) -> str:
    """Parameter path of an account.

    Raises:
        StoreError: this cannot be the name of an account.
    """
    return join_path(ACCOUNTS, account)
