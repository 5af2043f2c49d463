"""DenseLoraModel: puts DenseLoRA layers into a model, and owns the pairs that they share."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from torch import nn

from denselora.adapter.layer import DenseLoraLinear
from denselora.adapter.targets import unmatched


def pair_names(shapes: dict[str, tuple[int, int]], share: str) -> dict[str, str]:
    """Which layers share an encoder and decoder: those that get the same name here.

    ``shapes`` maps the path of each adapted layer to its (in, out) features. With ``share`` =

    - "module_type": the last name of the path, so all ``q_proj`` share. This reading of the
      paper, with a pair each for ``k_proj`` and ``v_proj`` of equal shape, is the one that gives
      its published counts. If layers of a type differ in shape, each shape has a pair of its own
      and every name of that type carries it: ``fc1_256x1024``.
    - "shape": (in, out) alone, ``256x1024``, across module types.
    - "none": the layer itself, its path with "-" for "." (which a module's name can't hold).
    """
    if share == "none":
        return {path: path.replace(".", "-") for path in shapes}
    if share == "shape":
        return {path: f"{i}x{o}" for path, (i, o) in shapes.items()}
    shapes_of: dict[str, set[tuple[int, int]]] = {}
    for path, shape in shapes.items():
        shapes_of.setdefault(path.rpartition(".")[2], set()).add(shape)
    names = {}
    for path, (i, o) in shapes.items():
        module_type = path.rpartition(".")[2]
        names[path] = module_type if len(shapes_of[module_type]) == 1 else f"{module_type}_{i}x{o}"
    return names


class DenseLoraModel(BaseTuner):
    """The tuner: ``denselora_encoder`` and ``denselora_decoder`` hold the shared pairs, as

        denselora_encoder[adapter name][pair name]  →  E [r, in]
        denselora_decoder[adapter name][pair name]  →  D [out, r]

    Arguments are PEFT's; see ``peft.get_peft_model``, which is the usual way here.
    """

    prefix = "denselora_"
    tuner_layer_cls = DenseLoraLinear
    target_module_mapping = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    def __init__(self, model: nn.Module, peft_config, adapter_name: str, **kwargs):
        _check_first(model, peft_config)
        super().__init__(model, peft_config, adapter_name, **kwargs)
        # PEFT 0.21 passes a bare config from inject_adapter_in_model (transformers' add_adapter
        # and load_adapter), which throws the tuner away: there the model itself keeps the pairs.
        if isinstance(peft_config, PeftConfig):
            for name in ("denselora_encoder", "denselora_decoder"):
                if name in self._modules:
                    model.add_module(name, self._modules.pop(name))

    @staticmethod
    def _check_target_module_exists(peft_config, key: str):
        if key.startswith(("denselora_encoder.", "denselora_decoder.")):
            return False  # a pair that the model keeps; its name ends in that of a module type
        return BaseTuner._check_target_module_exists(peft_config, key)

    def _create_and_replace(
        self, config, adapter_name, target, target_name, parent, current_key, **kwargs
    ) -> None:
        if isinstance(target, DenseLoraLinear):
            target.update_layer(adapter_name, config)
            target.train(target.training)
            return
        layer = DenseLoraLinear(target, (self.denselora_encoder, self.denselora_decoder))
        layer.update_layer(adapter_name, config)
        layer.train(target.training)  # a new module would be in train mode, with dropout
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args, **kwargs) -> None:
        """Put the adapter's cores into the layers, then share pairs among them.

        PEFT 0.21 calls its post-injection hook for the first adapter only, so this method, which
        it calls for each, does the sharing.
        """
        faults = unmatched(self.peft_config[adapter_name], model)
        if not hasattr(self, "denselora_encoder"):  # the tuner's own or, see above, the model's
            self.denselora_encoder, self.denselora_decoder = nn.ModuleDict(), nn.ModuleDict()
        # PEFT puts back what the other adapters train of the layers alone, not of their pairs
        others = [*self.denselora_encoder.parameters(), *self.denselora_decoder.parameters()]
        trained = [weight.requires_grad for weight in others]
        super().inject_adapter(model, adapter_name, *args, **kwargs)
        for weight, was_trained in zip(others, trained, strict=True):
            weight.requires_grad_(was_trained)
        if faults:
            warnings.warn(f"nothing in the model matches {', '.join(faults)}", stacklevel=2)
        config = self.peft_config[adapter_name]
        layers = {
            path: layer
            for path, layer in model.named_modules()
            if isinstance(layer, DenseLoraLinear) and adapter_name in layer.denselora_core
        }
        names = pair_names(
            {path: (layer.in_features, layer.out_features) for path, layer in layers.items()},
            config.share,
        )
        encoders = self.denselora_encoder[adapter_name] = nn.ModuleDict()
        decoders = self.denselora_decoder[adapter_name] = nn.ModuleDict()
        for path, layer in layers.items():
            name, core = names[path], layer.denselora_core[adapter_name].weight
            if name not in encoders:
                encoders[name], decoders[name] = layer.new_pair(adapter_name, config)
                encoders[name].requires_grad_(core.requires_grad)
                decoders[name].requires_grad_(core.requires_grad)
            layer.denselora_encoder[adapter_name] = encoders[name]
            layer.denselora_decoder[adapter_name] = decoders[name]

    @contextmanager
    def _enable_peft_forward_hooks(self, *args, adapter_names=None, **kwargs) -> Iterator[None]:
        """What PEFT enters around forward and generate; raises ``ValueError`` for adapter_names,
        which would else have no effect."""
        if adapter_names is not None:
            raise ValueError(
                "adapter_names: DenseLoRA doesn't choose an adapter for each row; all rows get the "
                "active ones, see set_adapter"
            )
        yield

    def _cast_adapter_dtype(self, adapter_name: str, autocast_adapter_dtype: bool = True) -> None:
        """fp32 by default, else the dtype of the base layer (PEFT's meaning of the option)."""
        for layer in self.model.modules():
            if isinstance(layer, DenseLoraLinear) and adapter_name in layer.denselora_core:
                _, dtype = layer._get_base_layer_device_and_dtype(layer.get_base_layer())
                for matrix in layer.matrices(adapter_name):
                    if autocast_adapter_dtype and matrix.weight.dtype.itemsize < 4:
                        matrix.to(torch.float32)
                    elif not autocast_adapter_dtype and dtype and dtype.is_floating_point:
                        matrix.to(dtype)

    # Saving and loading: PEFT 0.21's hooks. A saved key is the live one without the adapter's name.

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        return _own_key(adapter_name).sub(r"\1.", key)

    @classmethod
    def _get_adapter_state_dict(
        cls, model, config, adapter_name, state_dict, unwanted_adapter_names
    ) -> dict[str, torch.Tensor]:
        return {
            **{k: v for k, v in state_dict.items() if _own_key(adapter_name).search(k)},
            **cls._get_learnable_bias_state_dict(model, state_dict, config),
        }

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model, config, adapter_name, state_dict
    ) -> dict[str, torch.Tensor]:
        """Saved keys → live keys, strictly, where PEFT itself would load what it can.

        Raises ``ValueError`` that names a tensor which is missing, not the adapter's, or of
        another shape.
        """
        live = model.state_dict()
        own = cls._get_adapter_state_dict(model, config, adapter_name, live, [])
        saved_keys = {key: cls._remove_adapter_name_from_key(key, adapter_name) for key in own}
        live_keys = {_bare(saved): key for key, saved in saved_keys.items()}
        loaded = {live_keys.get(_bare(key), key): tensor for key, tensor in state_dict.items()}
        problems = {
            "missing": [saved_keys[key] for key in own if key not in loaded],
            "unexpected": [key for key in loaded if key not in live],
            "of another shape": [
                f"{saved_keys[key]} {list(loaded[key].shape)} for {list(own[key].shape)}"
                for key in own
                if key in loaded and loaded[key].shape != own[key].shape
            ],
        }
        if any(problems.values()):
            raise ValueError(
                "the adapter's weights don't fit this base model and configuration: "
                + "; ".join(
                    f"{what}: {keys[0]}" + (f" and {len(keys) - 1} more" if keys[1:] else "")
                    for what, keys in problems.items()
                    if keys
                )
            )
        return loaded


def _check_first(model: nn.Module, peft_config) -> None:
    """Raise ``ValueError`` if a PeftModel is made of a model that has DenseLoRA layers already.

    A bare config comes from transformers' add_adapter, which may well be for a second adapter.
    """
    if isinstance(peft_config, PeftConfig):
        return
    if any(isinstance(module, DenseLoraLinear) for module in model.modules()):
        raise ValueError(
            "the model has DenseLoRA layers already; give its PeftModel another adapter by "
            "add_adapter or load_adapter, or take them out first by unload()"
        )


def _own_key(adapter_name: str) -> re.Pattern:
    """Finds the adapter's name in the live keys of its own tensors."""
    return re.compile(rf"((?:^|\.)denselora_(?:core|encoder|decoder))\.{re.escape(adapter_name)}\.")


def _bare(key: str) -> str:
    """A key without PeftModel's prefix, which a model under transformers' adapters doesn't have."""
    return re.sub(r"^base_model\.(model\.)?", "", key)
