"""How many merchants one loaded backbone serves, how fast, and what it saves.

`make bench-serving` measures; the serving process is the real one, behind its real server.
"""
