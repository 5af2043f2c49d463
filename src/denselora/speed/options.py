"""The options of scripts/benchmark.py and scripts/check_gpu.py."""

from typing import Annotated, Any, Literal

from denselora.command_line.fields import (
    AnyText,
    Count,
    Counts,
    Dropout,
    FilePath,
    Flag,
    OneOf,
    Rank,
    Ranks,
    Several,
    Words,
    options,
)
from denselora.command_line.groups import Data, Model, Quantization
from denselora.evaluation.options import Tasks
from denselora.protocol import Protocol

Precision = Literal["float32", "bfloat16"]
# of transformers' LlamaConfig
Widths = dict[str, Any]


@options
class StepShape:
    name: AnyText
    config: Widths
    layers: Count
    tokens: Count
    precision: Precision
    recorded: Flag


@options
class LoopShape:
    name: AnyText
    config: Widths
    precision: Precision


@options
class StepShapes:
    cpu: list[StepShape]
    cuda: list[StepShape]


@options
class LoopShapes:
    cpu: list[LoopShape]
    cuda: list[LoopShape]


@options
class Step:
    rounds: Count
    ranks: Ranks
    dropout: Dropout
    target_modules: Words
    shapes: StepShapes


@options
class Also:
    cpu: Annotated[list[str], Several(OneOf(("recorded", "compiled")), least=0)]
    cuda: Annotated[list[str], Several(OneOf(("recorded", "compiled")), least=0)]


@options
class Loop:
    rounds: Count
    rank: Rank
    dropout: Dropout
    target_modules: Words
    pass_tokens: Count
    also: Also
    shapes: LoopShapes


@options
class Benchmark:
    """configs/benchmark.yaml says what they mean; `parts` is checked by `chosen_parts`."""

    model: Model
    data: Data
    protocol: Protocol
    parts: Any
    output: FilePath | None
    step: Step
    loop: Loop
    adapter_path: FilePath | None
    quantization: Quantization | None
    tasks: Tasks
    limit: Count | None
    batch_tokens: Count


@options
class Sizes:
    product_side: Count
    copy_bytes: Count
    ranks: Ranks
    many_tokens: Count
    mask_tokens: Count
    mask_width: Count
    wide: Counts
    repeats: Count
    heads: Counts
    narrow: Widths
    mini_steps: Count
    rows: Count
    shape: Widths
    fewer: Count
    rounds: Count
    step_layers: Count
    loop_rounds: Count
    loop_layers: Count
    speed_rows: Count
    reference_rows: Count


@options
class Machines:
    cuda: Sizes
    cpu: Sizes


@options
class CheckGpu:
    """configs/check_gpu.yaml says what they mean; `parts` is checked by `chosen_parts`."""

    model: Model
    data: Data
    protocol: Protocol
    parts: Any
    output: FilePath
    rehearse: Flag
    sizes: Machines
