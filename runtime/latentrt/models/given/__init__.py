"""Models that others exported to ONNX: run as they are given, graph by graph."""
