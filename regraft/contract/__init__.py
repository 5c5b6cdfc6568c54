"""The one definition of what crosses a boundary: job specs, statuses, resources, errors, catalogue.

Shared by the client, the API, the database rows, the worker and the engine.
May import the standard library and pydantic, nothing else.
"""
