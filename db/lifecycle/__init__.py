"""The system's side of a job's life: every move of a job row, and what it writes with it.

Used by control and the worker; the merchants' side is `db.repositories`.
"""
