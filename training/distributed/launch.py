"""Starts a command once for each GPU of this machine: what --num_gpus asks for.

As `torchrun --nproc_per_node N` does, whose environment the processes see; but what a user did
wrong stays one line with exit code 2, and nothing listens beyond this machine.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from torch.distributed import TCPStore

from errors import UserError
from training.distributed.processes import in_torchrun, world_size

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE = 10.0  # seconds that the others have once one process has failed


def launch(count: int, num_nodes: int = 1) -> None:
    """Where more than one process is asked for, start them, wait, and exit with their code.

    Returns at once in a process that is to do the work: one of those started here, by torchrun
    or by SLURM, or the only one.

    Args:
        count: processes on this machine.
        num_nodes: machines; on each the same command is started by hand.

    Raises:
        UserError: several machines, and the environment does not say where they meet.
    """
    if in_torchrun() or world_size() > 1 or count * num_nodes == 1:
        return
    sys.stdout.flush()
    sys.exit(run_processes([sys.executable, *sys.orig_argv[1:]], count, num_nodes))


def run_processes(command: Sequence[str], count: int, num_nodes: int = 1) -> int:
    """Run `command` as `count` processes; returns 0, or the exit code of the first that failed.

    Signals are handed on, once each: the processes have a session of their own, in which the
    terminal's Ctrl-C does not reach them a second time.
    """
    environment, _store = _meeting_place(count, num_nodes)
    first = int(environment["GROUP_RANK"]) * count
    # CPU processes share the cores, as they would share a GPU each.
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    processes: list[subprocess.Popen[bytes]] = []

    def hand_on(number: int, frame: FrameType | None) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(number)

    handlers: dict[int, Any] = {number: signal.signal(number, hand_on) for number in _SIGNALS}
    try:
        for i in range(count):
            own = environment | {"RANK": str(first + i), "LOCAL_RANK": str(i)}
            processes.append(
                subprocess.Popen(
                    command, env=own, start_new_session=True, preexec_fn=_end_with_this_process()
                )
            )
        return _wait(processes)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _end_with_this_process() -> Callable[[], object] | None:
    """What a new process does first: it asks Linux to be killed (-9) when this one is gone.

    Otherwise a run that is started again would meet what is left of the one before.
    """
    if sys.platform != "linux":
        return None
    libc, death_signal = ctypes.CDLL(None), 1  # PR_SET_PDEATHSIG
    return lambda: libc.prctl(death_signal, signal.SIGKILL)


def _wait(processes: list[subprocess.Popen[bytes]]) -> int:
    """The exit code of the first process that fails; the others may tell why before they go."""
    failed_at, code = 0.0, 0
    while True:
        codes = [process.poll() for process in processes]  # of each: poll() is what asks
        if not code:
            code, failed_at = next(filter(None, codes), 0), time.monotonic()
        if None not in codes or (code and time.monotonic() - failed_at > _GRACE):
            return code if code >= 0 else 128 - code
        time.sleep(0.05)


def _meeting_place(count: int, num_nodes: int) -> tuple[dict[str, str], TCPStore | None]:
    """The processes' environment, and the store where they find each other, kept here."""
    environment = dict(os.environ)
    store = None
    node, address, port = 0, "127.0.0.1", 0  # any free port
    if num_nodes > 1:
        needed = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
        missing = [name for name in needed if name not in environment]
        if missing:
            raise UserError(
                f"--num_nodes {num_nodes}: start with torchrun or srun, or set {', '.join(missing)}"
            )
        address = environment["MASTER_ADDR"]
        try:
            node, port = int(environment["NODE_RANK"]), int(environment["MASTER_PORT"])
        except ValueError as error:
            raise UserError(f"NODE_RANK and MASTER_PORT must be numbers: {error}") from error
    else:
        # gloo and NCCL would listen where the machine's name leads.
        loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
        environment |= {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}
    if node == 0:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((address, port))
            except OSError as error:
                raise UserError(
                    f"MASTER_ADDR {address}, MASTER_PORT {port}: {error.strerror}; they must be an "
                    "address of the machine with NODE_RANK 0 and a free port"
                ) from error
            listener.listen(4096)
            port = listener.getsockname()[1]
            store = TCPStore(
                *(address, port),
                is_master=True,
                wait_for_workers=False,
                master_listen_fd=listener.detach(),
            )
        environment["MASTER_PORT"] = str(port)
    environment |= {
        "MASTER_ADDR": address,
        "WORLD_SIZE": str(count * num_nodes),
        "LOCAL_WORLD_SIZE": str(count),
        "GROUP_RANK": str(node),
        "TORCHELASTIC_RUN_ID": "launch",
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the first process need not keep one
    }
    return environment, store
