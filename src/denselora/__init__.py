"""DenseLoRA (ACL 2025) as a PEFT method. Importing this package registers it with PEFT.

PEFT, and torch with it, is imported when it is first needed, so that a bad option is reported at
once and the tables are made where torch isn't installed.
"""

import importlib

import wrapt

__all__ = [
    "DenseLoraConfig",
    "DenseLoraModel",
    "from_release",
    "parameter_groups",
    "to_lora",
    "use_fused",
]


@wrapt.when_imported("peft")
def _register(peft):
    importlib.import_module("denselora.adapter")


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module 'denselora' has no attribute {name!r}")
    return getattr(importlib.import_module("denselora.adapter"), name)
