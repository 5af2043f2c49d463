"""DenseLoRA (ACL 2025) as a PEFT method. Importing this package registers it with PEFT."""

from denselora.adapter import DenseLoraConfig, DenseLoraModel

__all__ = ["DenseLoraConfig", "DenseLoraModel"]
