"""A test's function in several processes."""

import multiprocessing
import os
import socket
from collections.abc import Callable

import torch
import torch.distributed as dist


def run_processes(worker: Callable, count: int, *args) -> None:
    """Run ``worker(rank, *args)`` in ``count`` gloo processes; a failure in one fails the test.

    ``worker`` is a function at the top level of a test module. The processes fork from a server
    that has imported what is slow to import, once for all tests.
    """
    multiprocessing.set_forkserver_preload(["tests.tiny"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.start_processes(
        _process, (worker, count, port, args), nprocs=count, start_method="forkserver"
    )


def _process(rank: int, worker: Callable, count: int, port: int, args: tuple) -> None:
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(count),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    try:
        worker(rank, *args)
    finally:
        dist.destroy_process_group()
