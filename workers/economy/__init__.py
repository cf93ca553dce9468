"""Batches: jobs that can wait are sent to their vendor together, at half the price, and come back to their lanes.

    worker: a job that may wait ─► pool ─► gathered into a batch ─► sent ─► looked at ─► read
                                                                                          │
    worker: finds its units done, or works live what is left ◄── head of its lane ◄───────┘

base       the pool: which jobs wait, which batches are on their way; `redis` and `memory` keep it
keeper     one per worker process: who looks after which line, and when
gathering  from jobs that wait to a batch
sending    from a batch to the vendor, and finding out whether it got there
reading    from the vendor's results to usage records and memories
controls   what operators see and may do
"""
