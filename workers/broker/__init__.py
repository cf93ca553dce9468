"""Everything between Celery and Redis that keeps jobs safe and what they hold out of sight."""
