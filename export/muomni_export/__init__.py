"""Export of μOmni checkpoints to ONNX bundles."""
