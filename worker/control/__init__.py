"""The control process: dispatch, reap, watch, sweep, each a loop of its own; any number of copies.

May import db, core, regraft.contract and `worker.app`.
"""
