"""How Regraft is run: container files, and the embedded stack for one machine.

Starts the other processes and never imports them, so that a crash of one is not a crash of all.
"""
