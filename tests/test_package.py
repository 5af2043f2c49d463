"""Facts about `import denselora` that need a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"


def run(code):
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300, env=environment)


def test_import_alone_is_quick_because_it_leaves_torch_out():
    run("import sys, denselora; assert not {'torch', 'transformers', 'peft'} & set(sys.modules)")


# what `pip install denselora` alone doesn't bring
EXTRAS = [
    *("datasets", "wandb", "gguf", "matplotlib", "PIL", "pandas", "pyarrow", "statsmodels"),
    *("hydra", "omegaconf", "rich", "loky", "bitsandbytes"),
]


def test_peft_imported_later_knows_the_method_which_needs_only_its_own_dependencies(tmp_path):
    run(
        f"""
import sys
for name in {EXTRAS}:
    sys.modules[name] = None
import denselora
import peft
assert 'DENSELORA' in peft.mapping.PEFT_TYPE_TO_CONFIG_MAPPING
assert denselora.DenseLoraConfig(r=4).peft_type == 'DENSELORA'
import torch
from peft import PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

def base():
    torch.manual_seed(0)
    sizes = dict(vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2)
    return LlamaForCausalLM(LlamaConfig(num_attention_heads=2, num_key_value_heads=1, **sizes))

targets = ["q_proj", "up_proj"]
model = get_peft_model(base(), denselora.DenseLoraConfig(r=4, target_modules=targets))
ids = torch.arange(8)[None]
model(input_ids=ids, labels=ids).loss.backward()
model.save_pretrained({str(tmp_path)!r})
PeftModel.from_pretrained(base(), {str(tmp_path)!r})
"""
    )
