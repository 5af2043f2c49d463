"""Two learning rates: one for what all layers share, another for what is each layer's own."""

from typing import Any

from torch import nn

CORE = "denselora_core"
LORA_B = "lora_B"


def parameter_groups(
    model: nn.Module, learning_rate: float, ratio: float = 1.0, of: str = CORE
) -> list[dict[str, Any]]:
    """The trained parameters for an optimizer: those of `of` at `ratio` times the learning rate.

    E and D collect the gradients of all layers, M those of its own alone; the paper has one rate
    for both. Whether two help isn't known yet. The form is LoRA+'s (arXiv 2402.12354), which trains
    B faster than A.

        optimizer = torch.optim.AdamW(parameter_groups(model, 4e-3, ratio=0.25))

    of: the modules with a rate of their own, `CORE` (M) or `LORA_B`. With a ratio of 1 all are one
    group. Raises ValueError unless the ratio is a number above 0 and the model has such parameters.
    """
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    own = [p for name, p in trained if of in name.split(".")]
    if not 0 < ratio < float("inf"):
        raise ValueError(f"ratio={ratio}: give a number above 0")
    if ratio != 1 and not own:
        raise ValueError(f"no trained parameter of {of} in the model; give a ratio of 1")
    if ratio == 1:
        return [{"params": [p for _, p in trained], "lr": learning_rate}]
    rest = [p for name, p in trained if of not in name.split(".")]
    return [{"params": rest, "lr": learning_rate}, {"params": own, "lr": ratio * learning_rate}]
