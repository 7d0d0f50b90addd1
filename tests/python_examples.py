"""Models in memory that the tests of the public calls attack and check."""

import copy

import torch

COUNT = 60


def black_box(model):
    """The model as a function that autograd cannot follow."""
    return lambda pixels: model(torch.from_numpy(pixels.numpy())).detach().numpy()


def worse(model, scale=0.05):
    """A copy of the model with noise on its weights."""
    generator = torch.Generator().manual_seed(1)
    model = copy.deepcopy(model)
    for parameter in model.parameters():
        parameter.data += scale * torch.randn(parameter.shape, generator=generator)
    return model
