"""The control API: Flask over the repositories; no torch, no queue, no state of its own.

May import flask (and werkzeug below it), pydantic, db, core and regraft.contract.
"""
