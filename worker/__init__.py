"""The worker side: Celery app, supervisor, control loops, and the engine in a room of its own."""
