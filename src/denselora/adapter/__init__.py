"""The method: configuration, layer and tuner, registered with PEFT as type DENSELORA."""

from peft.utils import register_peft_method

from denselora.adapter.config import DenseLoraConfig
from denselora.adapter.layer import DenseLoraLayer
from denselora.adapter.model import DenseLoraModel

register_peft_method(
    name="denselora", config_cls=DenseLoraConfig, model_cls=DenseLoraModel, prefix="denselora_"
)

__all__ = ["DenseLoraConfig", "DenseLoraLayer", "DenseLoraModel"]
