"""Names a run after its resolved config, so that the same run is found again."""

import hashlib
import json
from typing import Any

# what changes where or how a run is carried out, but not its outcome
NOT_PART = ("output_dir", "resume", "tracker")


def run_id(config: dict[str, Any]) -> str:
    """`model-adapter-rN-data-protocol-sN-digest` for a resolved training config."""
    content = {key: value for key, value in config.items() if key not in NOT_PART}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
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
    return "-".join(part for part in parts if part)
