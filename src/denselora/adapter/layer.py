"""The DenseLoRA layer (Mu et al., ACL 2025, section 3).

For a linear layer with frozen weight W0 and α = ``denselora_alpha``:

    y = W0 x + (α / r) · drop( act( D · M · drop( act( E · drop(x) ) ) ) )

    letter  name     shape             shared by               starts at
    E       encoder  [r, in]           layers of one type      Kaiming uniform, a = √5
    M       core     [r, r]            no layers               Kaiming uniform, a = √5
    D       decoder  [out, r]          layers of one type      zero
    x       input    [..., in]
    y       output   [..., out]

``in`` and ``out`` are the layer's features, r the rank, ``...`` any batch dimensions. act is GELU
in the paper. There are no biases. E and D belong to the tuner (see ``model.py``, which says which
layers share a pair); a layer owns its core and refers to its pair.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from peft.tuners.tuners_utils import BaseTunerLayer, _get_in_out_features, check_adapters_to_merge
from peft.utils import quantization_extra_repr, resolve_quantization_backend
from torch import nn
from transformers.pytorch_utils import Conv1D

from denselora.adapter.fused.choice import is_chosen
from denselora.adapter.fused.operator import add_branch


def _relu(x: torch.Tensor) -> torch.Tensor:
    # The values of torch.relu, with derivative 1/2 at 0. D starts at zero, so the output sits at
    # act(0); torch's own choice of 0 there would keep every gradient at zero for ever.
    return (x + x.abs()) / 2


def _identity(x: torch.Tensor) -> torch.Tensor:
    return x


# act(0) = 0, so a fresh adapter changes nothing; act'(0) ≠ 0, so it learns.
ACTIVATIONS = {"gelu": F.gelu, "silu": F.silu, "relu": _relu, "identity": _identity}

# The dropouts, in the order of the equation: on x, on the encoded r-vector, on the decoded output.
DROPOUTS = ("input", "encoded", "decoded")

# How M starts.
CORES = {
    "kaiming": lambda weight: nn.init.kaiming_uniform_(weight, a=math.sqrt(5)),
    "orthogonal": nn.init.orthogonal_,
    "identity": nn.init.eye_,
}


def denselora_delta(
    x: torch.Tensor,
    E: torch.Tensor,
    M: torch.Tensor,
    D: torch.Tensor,
    scaling: float,
    activations: tuple[str, str],
    dropouts: tuple[float, float, float],
    training: bool,
) -> torch.Tensor:
    """The branch of the equation above: what the adapter adds to W0 x.

    x [..., in], E [r, in], M [r, r], D [out, r] → [..., out]; ``scaling`` is α / r. ``activations``
    follow E and D. In training each of the ``dropouts``, in the order of DROPOUTS, zeroes an
    element with its probability and scales the rest.
    """
    after_E, after_D = (ACTIVATIONS[name] for name in activations)
    on_x, on_z, on_d = dropouts
    z = F.dropout(after_E(F.linear(F.dropout(x, on_x, training), E)), on_z, training)
    d = after_D(F.linear(F.linear(z, M), D))
    return scaling * F.dropout(d, on_d, training)


class Matrix(nn.Module):
    """E, M or D: a trainable fp32 weight [rows, columns], which the layers read.

    Not an ``nn.Linear``, so that nothing that looks for linear layers to adapt or quantise takes
    it for one of the model's.
    """

    def __init__(
        self,
        rows: int,
        columns: int,
        device: torch.device,
        init: Callable[[torch.Tensor], torch.Tensor] = CORES["kaiming"],
    ):
        super().__init__()
        # Drawn on the CPU, so that a seed gives the same start on every device.
        where = device if device.type == "meta" else "cpu"
        self.weight = nn.Parameter(torch.empty(rows, columns, device=where, dtype=torch.float32))
        init(self.weight)
        if not self.weight.is_meta:
            self.weight.data = self.weight.to(device)

    def extra_repr(self) -> str:
        return "x".join(map(str, self.weight.shape))


class DenseLoraLinear(nn.Module, BaseTunerLayer):
    """A frozen linear layer with its DenseLoRA branch, by adapter name as PEFT has it.

    Raises ``ValueError`` for a base layer that is not linear.
    """

    # By "Linear" in its name PEFT's "all-linear" knows that a further adapter may be put on it.
    # PEFT activates, freezes and deletes what these names hold. Encoder and decoder are plain
    # dictionaries, so that the tuner alone registers the shared modules: one owner for the state
    # dict, DDP and FSDP. Referring to modules, not tensors, keeps the tie when weights are moved.
    adapter_layer_names = ("denselora_core", "denselora_encoder", "denselora_decoder")
    other_param_names = ("r", "scaling", "activations", "dropouts")

    def __init__(self, base_layer: nn.Module, tuner_pairs: tuple[nn.ModuleDict, nn.ModuleDict]):
        """``tuner_pairs``: the tuner's encoders and decoders, by adapter name."""
        super().__init__()
        self.base_layer = base_layer
        linear = self.get_base_layer()
        self.quantization_backend = resolve_quantization_backend(linear)
        if self.quantization_backend is None and not isinstance(linear, (nn.Linear, Conv1D)):
            raise ValueError(
                f"DenseLoRA adapts linear layers only, not {type(linear).__name__}; "
                "leave it out of target_modules or name it in exclude_modules"
            )
        self.in_features, self.out_features = _get_in_out_features(linear)
        self.fan_in_fan_out = isinstance(linear, Conv1D)  # GPT-2 keeps W0 as [in, out]

        self.denselora_core = nn.ModuleDict()
        self.denselora_encoder: dict[str, Matrix] = {}
        self.denselora_decoder: dict[str, Matrix] = {}
        self._tuner_pairs = tuner_pairs
        self.r: dict[str, int] = {}
        self.scaling: dict[str, float] = {}
        self.activations: dict[str, tuple[str, str]] = {}
        self.dropouts: dict[str, tuple[float, float, float]] = {}
        self._disable_adapters = False
        self.merged_adapters = []

    def update_layer(self, adapter_name: str, config) -> None:
        """Add the core of one adapter; the tuner gives it a pair once it knows all layers."""
        self.r[adapter_name] = config.r
        self.scaling[adapter_name] = config.denselora_alpha / config.r
        self.activations[adapter_name] = config.activations
        self.dropouts[adapter_name] = config.dropouts
        device, _ = self._get_base_layer_device_and_dtype(self.get_base_layer())
        # Under PEFT's low_cpu_mem_usage, parameters land on the meta device whatever is asked for.
        self.denselora_core[adapter_name] = Matrix(
            config.r, config.r, device, CORES[config.core_init]
        )
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def new_pair(self, adapter_name: str, config) -> tuple[Matrix, Matrix]:
        """E and D for this layer and those that are to share them, on the device of its core."""
        device = self.denselora_core[adapter_name].weight.device
        start = nn.init.zeros_ if config.init_weights else CORES["kaiming"]
        return (
            Matrix(config.r, self.in_features, device),
            Matrix(self.out_features, config.r, device, start),
        )

    def matrices(self, adapter_name: str) -> tuple[Matrix, Matrix, Matrix]:
        """E, M and D of one adapter."""
        return (
            self.denselora_encoder[adapter_name],
            self.denselora_core[adapter_name],
            self.denselora_decoder[adapter_name],
        )

    def forward(self, x: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        """x [..., in] → [..., out], in the dtype that the base layer gives."""
        if self.disable_adapters and self.merged:
            self.unmerge()
        y = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters or self.merged:
            return y
        for name in self.active_adapters:
            if name not in self.denselora_core:
                continue
            # A pair may serve layers on several devices; the core is always on the layer's own.
            E, M, D = (matrix.weight.to(x.device) for matrix in self.matrices(name))
            activations, dropouts = self.activations[name], self.dropouts[name]
            branch = (E, M, D, self.scaling[name], activations, dropouts)
            if is_chosen(y, x, E, activations, dropouts, denselora_delta):
                y = add_branch(y, x, *branch, self.training)
                continue
            # Autocast chooses the dtype of each product itself.
            cast = not torch.is_autocast_enabled(x.device.type)
            x_cast = self._cast_input_dtype(x, M.dtype) if cast else x
            y = y + denselora_delta(x_cast, *branch, self.training).to(y.dtype)
        return y

    def get_delta_weight(self, adapter_name: str) -> torch.Tensor:
        """(α / r) · D · M · E in the layout of the base weight; ``ValueError`` if not linear."""
        activation = next((a for a in self.activations[adapter_name] if a != "identity"), None)
        if activation:
            raise ValueError(
                f"adapter {adapter_name!r} has activation={activation!r}: its "
                "update depends on the input, so no weight can hold it. Keep the adapter beside "
                "the base model, or train one with activation='identity', which can be merged"
            )
        # a pair may serve layers on several devices
        device = self.denselora_core[adapter_name].weight.device
        E, M, D = (matrix.weight.to(device) for matrix in self.matrices(adapter_name))
        delta = self.scaling[adapter_name] * (D @ M @ E)
        return delta.T if self.fan_in_fan_out else delta

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Add the update of linear adapters to the base weight; others raise ``ValueError``.

        ``safe_merge`` checks that the sum is finite before it is stored.
        """
        names = check_adapters_to_merge(self, adapter_names)
        names = [name for name in names if name in self.denselora_core]
        deltas = [self.get_delta_weight(name) for name in names]  # all or none
        for name, delta in zip(names, deltas, strict=True):
            self._add_to_base_weight(delta, safe_merge, name)
            self.merged_adapters.append(name)

    def unmerge(self) -> None:
        """Subtract what was merged."""
        if not self.merged:
            warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)
        while self.merged_adapters:
            name = self.merged_adapters.pop()
            self._add_to_base_weight(-self.get_delta_weight(name), False, name)

    @torch.no_grad()
    def _add_to_base_weight(self, delta: torch.Tensor, check: bool, adapter_name: str) -> None:
        weight = self.get_base_weight()  # dequantised where need be
        wide = weight.dtype if weight.dtype == torch.float64 else delta.dtype
        total = (weight.to(wide) + delta.to(weight.device)).to(weight.dtype)
        if check and not torch.isfinite(total).all():
            raise ValueError(f"merging adapter {adapter_name!r} gives weights that are not finite")
        self.set_base_weight(total)

    def delete_adapter(self, adapter_name: str) -> None:
        super().delete_adapter(adapter_name)
        for pairs in self._tuner_pairs:
            if adapter_name in pairs:
                del pairs[adapter_name]

    def requires_grad_(self, requires_grad: bool = True) -> DenseLoraLinear:
        # transformers' load_adapter freezes what it loaded layer by layer: that includes the pairs.
        for matrix in (*self.denselora_encoder.values(), *self.denselora_decoder.values()):
            matrix.requires_grad_(requires_grad)
        return super().requires_grad_(requires_grad)

    def _move_adapter_to_device_of_base_layer(self, adapter_name: str, device=None) -> None:
        # PEFT 0.21 would also cast to the base's dtype here, which rounds fp32 weights that were
        # just loaded with low_cpu_mem_usage; DenseLoraModel._cast_adapter_dtype sets the dtype.
        if adapter_name not in self.denselora_core:
            return
        device = device or self._get_base_layer_device_and_dtype(self.get_base_layer())[0]
        for matrix in self.matrices(adapter_name):
            if not matrix.weight.is_meta:
                matrix.to(device)

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        return self.activations.get(adapter_name) == ("identity", "identity")

    def __repr__(self) -> str:
        return "denselora." + super().__repr__()

    def extra_repr(self) -> str:
        return quantization_extra_repr(self)
