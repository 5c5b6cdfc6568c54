"""The parts of `auto`: heads to compare, how they are chosen, what fine-tuning is tried.

May import torch, the contract and the engine's own modules.
"""
