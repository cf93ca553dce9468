"""Between Celery's tasks and the engine: from a message to a delivery, and from an outcome to what Celery is told."""
