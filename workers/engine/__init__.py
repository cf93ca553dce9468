"""The engine: what becomes of one delivery of one job, from its route to its end. Knows nothing of Celery."""
