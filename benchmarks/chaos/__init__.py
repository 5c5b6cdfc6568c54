"""The fault campaign: real processes, seeded faults, and an oracle that must find nothing.

`python -m benchmarks.chaos`; may import everything, and nothing imports it but its tests.
"""
