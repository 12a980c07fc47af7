"""From a trained classifier to the sealed ONNX graph: temperature, novelty, orientation and class activation maps."""
