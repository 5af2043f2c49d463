"""DenseLoraConfig: what PEFT needs to know to build the adapter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

from aenum import extend_enum
from peft import PeftConfig, PeftType

from denselora.adapter.layer import ACTIVATIONS, CORES, DROPOUTS

# PEFT 0.21 lets a method register itself, but only under a name in this closed enum.
extend_enum(PeftType, "DENSELORA", "DENSELORA")

SHARE = ("module_type", "shape", "none")
BIAS = ("none", "all", "denselora_only")


@dataclass
class DenseLoraConfig(PeftConfig):
    """Configuration of a DenseLoRA adapter. A value outside its range raises ``ValueError``."""

    # Rank: the width of the encoded vector and of the dense core M [r, r].
    r: int = 16
    # The branch is scaled by denselora_alpha / r. None means 2 r, as in the paper.
    denselora_alpha: float | None = None
    # Dropout probability at three places: the input, the encoded vector, the decoded output.
    denselora_dropout: float = 0.05
    # Which of the three are there: names from layer.DROPOUTS. None means all, as in the paper.
    dropout_at: list[str] | None = None
    # After the encoder and after the decoder: a key of ACTIVATIONS. Only "identity" can be merged.
    activation: str = "gelu"
    # After the decoder, where it is to be another one. None means the same, as in the paper.
    decoder_activation: str | None = None
    # How M starts: a key of CORES. The paper's is "kaiming".
    core_init: str = "kaiming"
    # Which layers share an encoder and decoder; model.pair_names states the rule for each value.
    share: str = "module_type"
    # Start with the decoder at zero, so that a fresh adapter changes nothing; False is for tests.
    init_weights: bool = True
    # Which biases of the base model are trained as well.
    bias: str = "none"
    # The linear layers to adapt: last parts of their names, a regular expression of the whole name,
    # or "all-linear". None means PEFT's usual choice for LoRA on the base model's architecture.
    target_modules: list[str] | str | None = None
    # Layers to leave out again, in the same notation.
    exclude_modules: list[str] | str | None = None
    # Indices of the blocks to adapt (with a list of target_modules), and the name of the list of
    # blocks where PEFT does not find it by itself.
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[str] | str | None = None
    # Further modules, trained whole and saved with the adapter.
    modules_to_save: list[str] | None = None

    def __post_init__(self):
        super().__post_init__()
        self.peft_type = PeftType.DENSELORA
        if isinstance(self.target_modules, list):
            self.target_modules = set(self.target_modules)
        if isinstance(self.exclude_modules, list):
            self.exclude_modules = set(self.exclude_modules)

        if not isinstance(self.r, int) or isinstance(self.r, bool) or self.r <= 0:
            raise ValueError(f"r must be a positive integer, got {self.r!r}")
        if self.denselora_alpha is None:
            self.denselora_alpha = 2 * self.r
        alpha, dropout = self.denselora_alpha, self.denselora_dropout
        if not _is_number(alpha) or not 0 < alpha < math.inf:
            raise ValueError(f"denselora_alpha must be positive and finite, got {alpha!r}")
        if not _is_number(dropout) or not 0 <= dropout < 1:
            raise ValueError(f"denselora_dropout must be in [0, 1), got {self.denselora_dropout!r}")
        if isinstance(self.dropout_at, str):
            raise ValueError(f"dropout_at must be a list, got {self.dropout_at!r}")
        for name, values, allowed in (
            ("activation", [self.activation], ACTIVATIONS),
            ("decoder_activation", [self.decoder_activation or self.activation], ACTIVATIONS),
            ("core_init", [self.core_init], CORES),
            ("dropout_at", self.dropout_at or [], DROPOUTS),
            ("share", [self.share], SHARE),
            ("bias", [self.bias], BIAS),
        ):
            for value in values:
                if value not in allowed:
                    raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
        if self.layers_to_transform is not None and isinstance(self.target_modules, str):
            raise ValueError(
                "layers_to_transform needs a list of target_modules; "
                "write the layer indices into the regular expression instead"
            )
        if self.layers_pattern and self.layers_to_transform is None:
            raise ValueError("layers_pattern does nothing without layers_to_transform; give both")

    @property
    def activations(self) -> tuple[str, str]:
        """The activation after the encoder and that after the decoder."""
        return self.activation, self.decoder_activation or self.activation

    @property
    def dropouts(self) -> tuple[float, float, float]:
        """The probability of each dropout, in the order of layer.DROPOUTS."""
        at = DROPOUTS if self.dropout_at is None else self.dropout_at
        return tuple(self.denselora_dropout if place in at else 0.0 for place in DROPOUTS)

    def to_dict(self) -> dict:
        """The fields as a dictionary, with sets sorted so that the saved file is reproducible."""
        return {k: sorted(v) if isinstance(v, set) else v for k, v in super().to_dict().items()}


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
