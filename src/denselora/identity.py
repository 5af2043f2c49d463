"""Run ids, and when two training runs are the same: by their resolved configs, without PLACE.

An option that is added later must be entered in LATER, or all earlier ids change.
"""

import hashlib
import json
import re
from collections.abc import Collection
from typing import Any

from denselora.errors import UserError

# change where or how a run runs, but not what comes out
PLACE = ("output_dir", "resume", "tracker")
# those that aren't given a value of their own follow the first
SEEDS = ("seed", "seed_init", "seed_data")
# whose names are parts of run ids and file names
NAMED = ("model", "adapter", "data", "protocol")
# bytes of a run id, to which an evaluation adds up to 40; 255 is what a file's name may have
LONGEST = 200
# options of a group that came later, with the value at which a run is as before: no part of it then
LATER = {
    ("trainer", "fused"): "auto",
    ("trainer", "cuda_graphs"): "auto",
    ("adapter", "core_learning_rate_ratio"): 1,
    ("adapter", "b_learning_rate_ratio"): 1,
}


def run_id(config: dict[str, Any]) -> str:
    """`model-adapter-rN-data-protocol-sN-digest`: equal for the same run, whenever it is started.

    config: resolved, here and in all of this file. Raises UserError for a part that isn't a name,
    or too long a whole: the id becomes a folder's name.
    """
    for group in NAMED:
        check_name(f"{group}.name", config[group]["name"])
    check_name("adapter.r", config["adapter"].get("r") or 0)
    check_name("seed", config["seed"])
    digest = hashlib.sha256(json.dumps(_content(config), sort_keys=True).encode()).hexdigest()[:8]
    rank = config["adapter"].get("r")
    parts = [
        config["model"]["name"],
        config["adapter"]["name"],
        f"r{rank}" if rank else None,
        config["data"]["name"],
        config["protocol"]["name"],
        f"s{config['seed']}",
        digest,
    ]
    run = "-".join(part for part in parts if part)
    check_length(run)
    return run


def is_name(name: Any) -> bool:
    """Whether something can be part of a path and stay where it is put: no separator, no "..", no
    dot at the start, nothing that can't be printed or that OmegaConf would interpolate."""
    text = str(name)
    outside = re.search(r"[/\\]|\.\.|^\.|\$\{", text)
    return bool(text) and text.isprintable() and not outside


def check_name(option: str, name: Any) -> None:
    """Raise UserError for a value that is to be part of a path and isn't `is_name`."""
    if not is_name(name):
        raise UserError(
            f"{option}={str(name)!r}: becomes part of a path; give a name without separators, '..' "
            "or a dot at its start"
        )


def check_length(run: str, most: int = LONGEST) -> None:
    """Raise UserError for a run id of more bytes than a folder's name has room for."""
    if len(run.encode()) > most:
        raise UserError(
            f"{run}: longer than {most} bytes, and becomes a folder's name; shorten model.name, "
            "adapter.name, data.name or protocol.name"
        )


def _content(config: dict[str, Any]) -> dict[str, Any]:
    content = {key: value for key, value in config.items() if key not in PLACE}
    for (group, name), before in LATER.items():
        options = content.get(group)
        if isinstance(options, dict) and options.get(name) == before:
            content[group] = {key: value for key, value in options.items() if key != name}
    return content


def dotted(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The options by their dotted names, as the command line writes them: "trainer.epochs"."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            flat |= dotted(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Dotted names of the options in which two runs differ, sorted; [] for the same run."""
    a, b = dotted(_content(one)), dotted(_content(other))
    names = sorted(a.keys() | b.keys())
    return [name for name in names if name not in a or name not in b or a[name] != b[name]]


def same_but_for(one: dict[str, Any], other: dict[str, Any], options: Collection[str]) -> bool:
    """Whether two runs differ in nothing, or in some of these options (dotted names) alone."""
    return set(differences(one, other)) <= set(options)


def apart_from_seed(config: dict[str, Any]) -> dict[str, Any]:
    """The dotted options that runs of one setting share: all but the place and the seed.

    A seed stays if it doesn't follow `seed`.
    """
    return {
        name: value
        for name, value in dotted(_content(config)).items()
        if not (name in SEEDS and value == config.get("seed"))
    }
