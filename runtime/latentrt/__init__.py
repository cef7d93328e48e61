"""Latent diffusion models on ONNX Runtime, without torch."""
