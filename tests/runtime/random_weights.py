"""Random weights for the graphs that the package ships, in the shapes that they name."""

import numpy as np


def random_weights(rng, parameters):
    """Norms at one, biases at zero, all else scaled by its fan-in, so that activations neither die nor explode."""
    tensors = {}
    for parameter in parameters:
        shape = parameter.shape
        if len(shape) > 1:
            values = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        else:
            values = np.ones(shape) if parameter.name.endswith("weight") else np.zeros(shape)
        tensors[parameter.name] = values.astype(np.float32)
    return tensors
