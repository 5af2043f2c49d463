"""How many threads compute, and how they wait: what a machine with other work on it needs.

OpenMP's threads spin while they wait for each other. Where fewer cores are free than there are
threads, the one that all wait for isn't running, and a step takes ten times as long.
"""

import os

# parameters: below, threads wait for each other longer than they compute
SMALL = 20_000_000


def wait_passively() -> None:
    """Let OpenMP's threads sleep while they wait, unless OMP_WAIT_POLICY is set. It is read when
    torch is imported, and by the processes that are started from here.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def use_threads(parameters: int) -> None:
    """One thread for a small model; for others one for each core that the process may use, by its
    affinity and the container's quota. Left alone where OMP_NUM_THREADS is set.

    parameters: of the model. What is summed by more threads is rounded otherwise.
    """
    import loky
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        cores = min(torch.get_num_threads(), loky.cpu_count())
        torch.set_num_threads(1 if parameters < SMALL else cores)
