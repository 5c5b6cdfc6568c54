"""The control process: dispatch, reap, watch, webhooks, sweep, each a loop; any number of copies.

May import db, core, regraft.contract, httpcore2 and `worker.app`.
"""
