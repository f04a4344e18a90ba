"""ONNX Runtime: sessions, threads, cached decoders. Nothing else imports onnxruntime."""
