"""Runs one job in a Celery child: claim, prepare, hand over, watch, settle. No torch here.

May import db, core, regraft.contract and `worker.engine.{messages,runspec,packs}`.
"""
