"""Torch modules to ONNX graphs, and passes that rewrite them."""
