"""Checking an upload image by image: a sandboxed child decodes, the supervisor decides.

May import db, core and regraft.contract; Pillow is loaded by the child alone.
"""
