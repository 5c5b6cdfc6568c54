"""The shared parts of every training by gradient descent, and the loop that composes them.

May import torch, torchvision, numpy, the contract and the engine's own modules.
"""
