"""`make fuzz`: the running service under generated requests and seeded damage; one JSON line.

May import deploy, the contract, schemathesis and the helpers of the tests.
"""
