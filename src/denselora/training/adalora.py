"""What AdaLoRA (arXiv 2303.10512) asks of a loop: a penalty on the loss, pruning after a step."""

from typing import Any

import torch
from accelerate import Accelerator
from peft import AdaLoraModel
from torch import nn

from denselora.errors import UserError

MOVING = ("ipt", "exp_avg_ipt", "exp_avg_unc")


class RankBudget:
    """AdaLoRA's importance scores and rank pattern, kept where a checkpoint can hold them.

    PEFT would cut the saved matrices to the pattern, and the model that training goes on with
    couldn't load them. So its config never sees the pattern: pruned singular values are saved as
    the zeros that they are.
    """

    def __init__(self, tuner: AdaLoraModel):
        self._tuner = tuner
        self._config = tuner.peft_config[tuner.trainable_adapter_name]
        self._pattern: dict[str, list[bool]] | None = None

    @classmethod
    def of(cls, model: nn.Module, accelerator: Accelerator) -> "RankBudget | None":
        """The budget of a model under AdaLoRA, None for others.

        Raises UserError where processes hold parts of the matrices.
        """
        tuner = getattr(model, "base_model", None)
        if not isinstance(tuner, AdaLoraModel):
            return None
        if accelerator.is_fsdp2:
            raise UserError("adapter=adalora needs whole matrices; use one process or LAUNCH=ddp")
        return cls(tuner)

    def penalty(self) -> torch.Tensor:
        """orth_reg_weight times the mean of ‖A Aᵀ - I‖ and ‖Bᵀ B - I‖ (Frobenius); scalar."""
        norms = []
        for name, p in self._tuner.model.named_parameters():
            if "lora_A" in name or "lora_B" in name:
                square = p @ p.T if "lora_A" in name else p.T @ p
                norms.append(torch.linalg.norm(square - torch.eye(len(square), device=p.device)))
        return self._config.orth_reg_weight * torch.stack(norms).mean()

    def update(self, step: int) -> None:
        """After the optimizer's step, while its gradients are there. step: from 1."""
        self._config.rank_pattern = self._pattern
        self._tuner.update_and_allocate(step)
        self._pattern, self._config.rank_pattern = self._config.rank_pattern, None

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        allocator = self._tuner.rankallocator
        return {"pattern": self._pattern} | {name: getattr(allocator, name) for name in MOVING}

    def restore(self, saved: dict[str, Any], device: torch.device) -> None:
        """Put back what `state` gave."""
        self._pattern = saved["pattern"]
        for name in MOVING:
            scores = {key: score.to(device) for key, score in saved[name].items()}
            setattr(self._tuner.rankallocator, name, scores)
