"""A test's function in several processes."""

import multiprocessing
import os
import socket
from collections.abc import Callable, Mapping

import torch
import torch.distributed as dist

# what is slow to import, in the server that all processes fork from, scripts of reproduce.py too
PRELOADED = ["denselora.evaluation.run", "denselora.training.run", "tests.tiny"]


def run_processes(worker: Callable, count: int, *args) -> None:
    """Run ``worker(rank, *args)`` in ``count`` gloo processes; a failure in one fails the test.

    ``worker`` is a function at the top level of a test module.
    """
    launch(_in_group, count, {}, worker, args)


def launch(worker: Callable, count: int, environment: Mapping[str, str], *args) -> None:
    """Run ``worker(rank, *args)`` in processes, to their ends; a failure in one ends all and fails
    the test. The rest as in `started`.
    """
    processes = started(worker, count, environment, *args)
    while not processes.join():
        pass


def started(
    worker: Callable, count: int, environment: Mapping[str, str], *args
) -> torch.multiprocessing.ProcessContext:
    """Start ``worker(rank, *args)`` in processes with the variables that torchrun gives to each;
    one process gets none.

    environment: more variables. They fork from a server, started once for all tests.
    """
    multiprocessing.set_forkserver_preload(PRELOADED)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    together = {"WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    variables = {**environment, **(together if count > 1 else {})}
    return torch.multiprocessing.start_processes(
        _process, (worker, variables, args), nprocs=count, start_method="forkserver", join=False
    )


def _process(rank: int, worker: Callable, variables: Mapping[str, str | int], args: tuple) -> None:
    if "WORLD_SIZE" in variables:
        variables = {**variables, "RANK": rank, "LOCAL_RANK": rank}
    os.environ.update({name: str(value) for name, value in variables.items()})
    torch.set_num_threads(1)
    worker(rank, *args)


def _in_group(rank: int, worker: Callable, args: tuple) -> None:
    dist.init_process_group("gloo")
    try:
        worker(rank, *args)
    finally:
        dist.destroy_process_group()
