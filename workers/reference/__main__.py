"""Writes every page that is printed from the code: `python -m workers.reference`, or `make docs`."""

import sys

from workers.reference.pages import PAGES, ROOT

if __name__ == "__main__":
    for path, render in PAGES.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(render(), encoding="utf-8")
        sys.stdout.write(f"wrote {path}\n")
