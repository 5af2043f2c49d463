"""The options of the config groups model, data and adapter."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, model_validator

from denselora.command_line.fields import (
    AnyText,
    Count,
    Dropout,
    FilePath,
    Flag,
    Modules,
    Name,
    OneOf,
    Part,
    Positive,
    Rank,
    Share,
    options,
)
from denselora.errors import UserError
from denselora.tasks import SUITES

Quantization = Literal["nf4", "int8"]


@options
class Model:
    """configs/model: path is a hub id or a folder."""

    name: Name
    label: AnyText
    path: FilePath


@options
class Data:
    """configs/data; what they mean stands in configs/data/local.yaml."""

    name: Name
    label: AnyText
    path: FilePath
    train_file: FilePath
    suite: Annotated[str, OneOf(tuple(SUITES))]
    fraction: Part | None
    n_train: Count | None
    balanced: Flag

    @model_validator(mode="after")
    def _one_size(self):
        if self.fraction is not None and self.n_train is not None:
            raise UserError("data.fraction and data.n_train are both set; give one of them")
        return self


@options(config=ConfigDict(extra="ignore"))
class Adapter:
    """configs/adapter: the options that several methods have.

    A file may have more; they go to PEFT by its `peft`, the call that makes PEFT's config, and PEFT
    checks them. Those without a default here are in every file. The others may be left out, but not
    set to null.
    """

    name: Name
    label: AnyText
    r: Rank = None
    alpha: Positive = None
    dropout: Dropout = None
    target_modules: Modules | None = None
    core_learning_rate_ratio: Positive = None
    b_learning_rate_ratio: Positive = None
    warmup_share: Share = None
    final_share: Share = None
    peft: dict[str, Any] = None

    @model_validator(mode="after")
    def _has_a_method(self):
        if self.name not in ("none", "full") and "_target_" not in (self.peft or {}):
            raise UserError(
                f"adapter={self.name}: its file has no peft._target_, the call that makes PEFT's "
                "config; see docs/extending.md"
            )
        return self
