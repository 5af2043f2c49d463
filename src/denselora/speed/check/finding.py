"""What a check found, and where it looks."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One row of the table.

    value: what was found. limit: what it must be or what is aimed at, in words. passed: None if the
    value is only measured, or if the check could not be made here.
    """

    what: str
    value: str
    limit: str = ""
    passed: bool | None = None

    @property
    def word(self) -> str:
        return {True: "ok", False: "FAILED", None: "-"}[self.passed]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Place:
    """Where the checks run: a GPU, or for a rehearsal the CPU, with sizes that it manages.

    On the CPU the kernels run in Triton's interpreter.
    """

    device: str
    sizes: dict[str, Any]
    config: dict[str, Any]

    @property
    def is_gpu(self) -> bool:
        return self.device == "cuda"

    def free_gib(self) -> float:
        """Memory that nobody holds."""
        if not self.is_gpu:
            return 64.0  # more than the small sizes need
        import torch  # so that nothing waits for it that only runs checks

        return torch.cuda.mem_get_info()[0] / 2**30
