"""The mathematics of two domains, source and target: distances and weights of feature vectors.

Knows numbers alone: may import torch and the solver.
"""
