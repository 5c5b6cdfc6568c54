"""Control-plane speed: submits, polls, lists and queue-to-start, on both databases.

Everything is real: gunicorn, control, a Celery worker, Redis, SQLite or PostgreSQL; only the
trainer is the one of the tests that sleeps, so that what is timed is ours and not torch's.
"""
