"""Options, models and data that are right by themselves but can't work together."""

import json
from pathlib import Path

from tests.wrong_input.case import Given, case, copy_of, files


def _in_config(**fields) -> Given:
    """A copy of the model that says something else of itself."""

    def change(model: Path) -> None:
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps(config | fields))

    return copy_of("model", change)


GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128}
PROMPT_TUNING = {"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "num_virtual_tokens": 4}
LONG = "model.path=model: made for 40 tokens, and the longest"

CASES = [
    case("train adapter=full quantization=nf4", "quantization=nf4", "adapter=full"),
    case("train adapter=lokr quantization=nf4", "quantization=nf4: adapter=lokr doesn't work"),
    case("train adapter=dora quantization=int8", "quantization=int8: adapter=dora doesn't work"),
    case(
        "train model.path=model",
        "model.path=model: its weights are quantised already (quantization_config",
        given=_in_config(quantization_config=GPTQ),
    ),
    case(
        "evaluate model.path=model quantization=int8",
        "model.path=model: its weights are quantised already (quantization_config",
        given=_in_config(quantization_config=GPTQ),
    ),
    case(
        "evaluate adapter_path=adapter",
        "adapter_path=adapter: PROMPT_TUNING",
        given=files({"adapter/adapter_config.json": json.dumps(PROMPT_TUNING)}),
    ),
    case(
        "ask adapter_path=adapter",
        "adapter_path=adapter: PROMPT_TUNING",
        given=files({"adapter/adapter_config.json": json.dumps(PROMPT_TUNING)}),
    ),
    *(
        case(
            f"{script} model.path=model",
            "model.path=model: its tokenizer has ids up to 327, the model a vocabulary of 128",
            given=_in_config(vocab_size=128),
        )
        for script in ("train", "evaluate", "ask")
    ),
    case(
        "train model.path=model",
        f"{LONG} row of",
        given=_in_config(max_position_embeddings=40),
    ),
    case(
        "evaluate model.path=model",
        f"{LONG} prompt with 32 for an answer",
        given=_in_config(max_position_embeddings=40),
    ),
    case(
        "ask model.path=model",
        f"{LONG} prompt with 32 for an answer",
        given=_in_config(max_position_embeddings=40),
        stdin=b"Is water wet?\n",
    ),
]
