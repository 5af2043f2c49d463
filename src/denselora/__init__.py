"""DenseLoRA (ACL 2025) as a PEFT method. Importing this package registers it with PEFT."""

from denselora.adapter import DenseLoraConfig, DenseLoraModel, from_release, to_lora

__all__ = ["DenseLoraConfig", "DenseLoraModel", "from_release", "to_lora"]
