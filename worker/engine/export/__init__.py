"""From a trained head to the files of a model, as segments of blobs that models share.

May import torch, onnx, onnxruntime, numpy, the contract and the engine's own modules.
"""
