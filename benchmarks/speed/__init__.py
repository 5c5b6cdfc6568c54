"""How fast a job is beside today's tools, each case in a process of its own; see `__main__`."""
