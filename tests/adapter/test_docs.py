import re
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from tests.adapter.release import release_folder
from tests.tiny import adapted_llama, write_model

PAGE = Path(__file__).parents[2] / "docs" / "using_the_adapter.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.filterwarnings("ignore")
def test_the_page_s_snippets_run_in_their_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_model(Path("path/to/model"))
    release_folder(tmp_path / "path/to/their/adapter", adapted_llama())
    namespace: dict = {}
    try:
        for number, snippet in enumerate(SNIPPETS, start=1):
            exec(compile(snippet, f"{PAGE.name}, snippet {number}", "exec"), namespace)
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)

    assert len(SNIPPETS) == 14
    # (64 + 48 + 48 + 80 + 80) · 16 in the pairs and 10 · 16² in the cores
    assert "trainable params: 7,680" in capsys.readouterr().out
    assert list(namespace["loaded"].peft_config) == ["default", "third"]
    assert len(load_file("adapter/adapter_model.safetensors")) == 20
    assert len(load_file("trained/adapter_model.safetensors")) == 20
    assert namespace["generated"][0]["generated_text"] == namespace["text"]
    assert len(load_file("lora/adapter_model.safetensors")) == 8
