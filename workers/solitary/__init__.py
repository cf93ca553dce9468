"""Jobs of which workers may have died, each tried alone in a process that may die without harm.

Whoever dies takes along all jobs that it had in hand, and nobody can tell which of them it died of. So a job that was
there too often is run in a child process which has no other job meanwhile: if that dies, it died of this job, and the
worker lives. Only so is a job ever judged; those that only stood by run well there and end like any other.
"""
