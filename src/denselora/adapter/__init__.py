"""DenseLoRA itself: config, layer and tuner, registered with PEFT as type DENSELORA."""

from peft.utils import register_peft_method

from denselora.adapter.config import DenseLoraConfig
from denselora.adapter.convert import from_release, to_lora
from denselora.adapter.fused.choice import use_fused
from denselora.adapter.layer import DenseLoraLinear
from denselora.adapter.model import DenseLoraModel
from denselora.adapter.parameter_groups import parameter_groups
from denselora.adapter.transformers_keys import teach_key_of_the_pairs

register_peft_method(
    name="denselora", config_cls=DenseLoraConfig, model_cls=DenseLoraModel, prefix="denselora_"
)
teach_key_of_the_pairs()

__all__ = [
    "DenseLoraConfig",
    "DenseLoraLinear",
    "DenseLoraModel",
    "from_release",
    "parameter_groups",
    "to_lora",
    "use_fused",
]
