"""The options of the scripts that ask models, count what was answered, or push an adapter."""

from typing import Annotated, Any, Literal

from denselora.command_line.fields import (
    AnyText,
    Count,
    FilePath,
    FilePaths,
    Flag,
    Kind,
    PathText,
    Several,
    Text,
    options,
)
from denselora.command_line.groups import Adapter, Data, Model, Quantization
from denselora.protocol import Protocol
from denselora.tasks import benchmark


class TaskNames(Kind):
    """all, a benchmark's name, or a list of names."""

    def read(self, value: Any) -> str | list[str]:
        names = value if isinstance(value, list) else [value]
        if not names or not all(isinstance(name, str) and name for name in names):
            raise ValueError("give names of benchmarks as [boolq,piqa], or all")
        for name in names if value != "all" else ():
            benchmark(name)
        return value


Tasks = Annotated[list[str] | str, TaskNames()]
# of these a whole suite can be asked
SuiteScoring = Literal["generate", "choice", "lm-eval"]
ScoringName = Literal[SuiteScoring, "texts"]


@options
class Evaluate:
    """configs/evaluate.yaml says what they mean."""

    model: Model
    adapter: Adapter
    data: Data
    protocol: Protocol
    adapter_path: Annotated[list[str] | str, Several(PathText("a path"), one=True)] | None
    tasks: Tasks
    limit: Count | None
    scoring: ScoringName
    quantization: Quantization | None
    batch_tokens: Count
    neutral_text: FilePath | None
    output_dir: FilePath | None
    record_dir: FilePath | None


@options
class Ask:
    """configs/ask.yaml says what they mean."""

    model: Model
    protocol: Protocol
    adapter_path: FilePath | None
    quantization: Quantization | None
    options: Annotated[list[str], Several(Text(), least=0)]


@options
class Recount:
    """configs/recount.yaml says what they mean."""

    folders: FilePaths
    overlap: FilePath | None


@options
class Push:
    """configs/push.yaml says what they mean."""

    adapter_path: FilePath
    repo: AnyText
    private: Flag
