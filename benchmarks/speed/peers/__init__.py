"""The same head training in other tools; runs in their own environment (`make bench-peers`)."""
