"""Facts about `import denselora` that need a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"


def run(code):
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300, env=environment)


def test_peft_knows_the_method_though_it_was_imported_later():
    run(
        "import denselora, peft;"
        "assert 'DENSELORA' in peft.mapping.PEFT_TYPE_TO_CONFIG_MAPPING;"
        "assert denselora.DenseLoraConfig(r=4).peft_type == 'DENSELORA'"
    )


def test_import_alone_is_quick_because_it_leaves_torch_out():
    run("import sys, denselora; assert not {'torch', 'transformers', 'peft'} & set(sys.modules)")
