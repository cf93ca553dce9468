"""Signs of life of a worker process: whether it is stuck, and whether it takes jobs.

Celery's consumer and the event loop each say that they have turned; whoever asks is told by HTTP beside the metrics, or
by a small file, without a second Celery and without the broker.
"""

from workers.health.judging import Health, Problem, judge
from workers.health.pulse import Heart, Part, Pulse, Reach, Stage, Terms

__all__ = ["Health", "Heart", "Part", "Problem", "Pulse", "Reach", "Stage", "Terms", "judge"]
