"""State, metrics and artifacts in SQL: models, repositories, the job's life, the blob store.

May import core, regraft.contract, sqlalchemy and alembic; never api or worker.
"""
