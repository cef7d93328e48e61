"""From a config to an ONNX graph: knows neither weights nor providers."""
