"""What a run would leave, without the run."""

import dataclasses

from denselora.training.run_folder import Trained
from tests.results.records import make_record


def make_trained(config=None, **figures) -> Trained:
    """config: instead of a small one. figures: changed in its training."""
    record = make_record()
    return Trained(
        run_id=record.run_id,
        config=config or record.config,
        base={"embedding_samples": [0.5]},
        method=record.method,
        protocol=record.protocol,
        git=record.git,
        packages=record.packages,
        device=record.device,
        training=dataclasses.replace(record.training, **figures),
    )
