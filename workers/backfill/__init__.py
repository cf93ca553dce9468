"""Backfills: many episodes from a file, in class `backfill`.

source     a file, line by line, in constant memory
entries    from a line to a job with an id of its content
"""
