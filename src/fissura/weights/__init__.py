"""The shipped models: NAME.onnx, NAME.int8.onnx, NAME.safetensors, NAME.md."""
