"""Pages of the docs that are printed from the code: `python -m workers.reference` writes all of them."""
