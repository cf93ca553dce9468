"""Celery's `worker` command for our app, without the plugins of the command `celery`.

That command loads them all before it does anything, and Flower, which is one, stays in each worker: 40 MB of memory
that no worker needs.
"""

import sys

from celery.bin.base import CLIContext
from celery.bin.worker import worker

import workers.app


def main() -> None:
    """Run a worker with the arguments of `celery worker`; ends the process."""
    context = CLIContext(app=workers.app.app, no_color=not sys.stdout.isatty(), workdir=None, quiet=True)
    worker.main(sys.argv[1:], prog_name="byom worker", obj=context)


if __name__ == "__main__":
    main()
