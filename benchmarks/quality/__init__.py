"""Few-shot curves of every strategy on real images; see `make bench-quality`."""
