"""The branch by the plain version's lines, and what to compute it of."""

import torch

from denselora.adapter.layer import ACTIVATIONS

DROPOUTS = (0.2, 0.3, 0.4)
NAMES = ("y", "x", "E", "M", "D")


def operands(dtype=torch.float32, half=None, tokens=(3, 5), features=(7, 6), r=4):
    """y and x (in ``half``, if given), E, M, D, all with gradients; and the gradient of the sum."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    (in_, out), half = features, half or dtype
    y, x = draw(*tokens, out).to(half), draw(*tokens, in_).to(half)
    E, M, D = (draw(r, in_) / in_**0.5, draw(r, r) / r**0.5, draw(out, r) / r**0.5)
    leaves = [y, x, *(weight.to(dtype) for weight in (E, M, D))]
    return [leaf.requires_grad_() for leaf in leaves], draw(*tokens, out).to(half)


def reference(leaves, scaling, activations, masks):
    """The plain version's lines with the masks given; in the dtypes of PEFT's casts."""
    y, x, E, M, D = leaves
    on_x, on_z, on_d = (mask.to(E.dtype) for mask in masks)
    after_E, after_D = (ACTIVATIONS[name] for name in activations)
    z = after_E((x.to(E.dtype) * on_x) @ E.T) * on_z
    return y + (scaling * (after_D(z @ M.T @ D.T) * on_d)).to(y.dtype)


def result(function, leaves, grad):
    """The sum, then the gradients of all leaves."""
    total = function(*leaves)
    return [total.detach(), *torch.autograd.grad(total, leaves, grad)]
