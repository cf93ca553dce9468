"""`python -m workers.cli`: the `byom` command where its script is not on the path."""

from workers.cli import main

main()
