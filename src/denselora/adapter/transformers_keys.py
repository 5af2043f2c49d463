"""transformers' own ``model.load_adapter``: the one saved key that it can't translate by itself."""

from functools import wraps

import peft.utils.transformers_weight_conversion as conversion
from peft import PeftType
from transformers.core_model_loading import WeightRenaming


def teach_key_of_the_pairs() -> None:
    """Let transformers read ``base_model.denselora_encoder...`` into ``denselora_encoder...``.

    transformers renames an adapter's saved keys by a list that PEFT 0.21 builds for it. The list
    strips ``base_model.model.``, before a tensor of a layer, but not ``base_model.``, before one of
    the tuner's own; and PEFT has no hook for a method to add to the list.
    """
    build = conversion.build_peft_weight_mapping

    @wraps(build)
    def build_with_pairs(weight_conversions, adapter_name, peft_config=None):
        mapping = build(weight_conversions, adapter_name, peft_config=peft_config)
        if getattr(peft_config, "peft_type", None) == PeftType.DENSELORA:
            mapping.insert(0, WeightRenaming("base_model.denselora_", "denselora_"))
        return mapping

    conversion.build_peft_weight_mapping = build_with_pairs
