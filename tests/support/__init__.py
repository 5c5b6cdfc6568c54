"""Real servers and real merchants for the tests; nothing here is imported by the product."""
