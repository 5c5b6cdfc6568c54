"""The transfer-learning engine: torch and the contract, no queue, no database, no HTTP.

Imports nothing, so that the supervisor can read `messages` and `runspec` without torch.
"""
