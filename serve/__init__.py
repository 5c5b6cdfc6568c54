"""The serving process: every merchant's models on backbones that are loaded once.

May import core, db, regraft.contract, ONNX Runtime and, of worker, the shipped predictor and the
decoder of uploads; never torch.
"""
