"""What the processes of one run know of each other, and what they agree on.

torchrun, SLURM and launch.py start the same command several times and tell each process its place
in the environment. Alone, every function here answers at once.
"""

from __future__ import annotations

import atexit
import functools
import os
import sys
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.nn import Parameter
from torch.nn.parallel import DistributedDataParallel

from errors import UserError

T = TypeVar("T")
_NONE, _DENSE = -1, -2  # of a gradient; a sparse one is known by its number of entries
# In the environment, under torchrun and under SLURM.
_NAMES = {
    "rank": ("RANK", "SLURM_PROCID"),
    "local_rank": ("LOCAL_RANK", "SLURM_LOCALID"),
    "world_size": ("WORLD_SIZE", "SLURM_NTASKS"),
}


def rank() -> int:
    """This process's number among all, from 0."""
    return _number("rank", 0)


def local_rank() -> int:
    """Its number on this machine, from 0: that of its GPU."""
    return _number("local_rank", 0)


def world_size() -> int:
    """Processes on all machines together."""
    return _number("world_size", 1)


def local_world_size() -> int:
    """Processes on this machine; every machine has as many. Raises UserError: SLURM is silent."""
    if in_torchrun():
        return int(os.environ["LOCAL_WORLD_SIZE"])
    if not in_slurm() or world_size() == 1:
        return 1
    per_node = os.environ.get("SLURM_NTASKS_PER_NODE", "")
    if not per_node.isdigit():
        raise UserError("SLURM: ask for --ntasks-per-node, not for --ntasks")
    return int(per_node)


def in_torchrun() -> bool:
    """Whether torchrun, or training.distributed.launch, started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def in_slurm() -> bool:
    """Whether this is a task of srun, not a shell in an allocation; decided as Lightning does."""
    shell = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return "SLURM_NTASKS" in os.environ and not shell


def is_main_process() -> bool:
    """Whether this is the process that prints and writes."""
    return rank() == 0


def silence_other_ranks() -> None:
    """Silence standard output in all processes but the first."""
    if not is_main_process():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (until the process ends)


def connect_processes() -> None:
    """Connect the processes, where Lightning does not do it."""
    if world_size() == 1 or dist.is_initialized():
        return
    if not in_torchrun():
        from lightning_fabric.plugins.environments import SLURMEnvironment

        slurm = SLURMEnvironment()
        os.environ["MASTER_ADDR"] = slurm.main_address
        os.environ["MASTER_PORT"] = str(slurm.main_port)
    dist.init_process_group("gloo", rank=rank(), world_size=world_size())
    # Gloo's threads must have ended before the interpreter goes: otherwise it aborts at times.
    atexit.register(_leave)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def should_report() -> bool:
    """Whether no other process has told yet why the run ends: an error often meets them all."""
    if world_size() == 1:
        return True
    if not is_main_process():
        time.sleep(1.0)  # what the first process has to say is rather the cause
    try:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = dist.TCPStore(
            address, port, timeout=timedelta(seconds=2), is_master=False, wait_for_workers=False
        )
        return store.add("told", 1) == 1
    except (KeyError, RuntimeError):
        return is_main_process()  # not connected yet, or the first process has ended


def any_process(*flags: bool) -> tuple[bool, ...]:
    """For each flag, whether it is set in any process. All must ask at the same step."""
    if not _connected():
        return flags
    values = torch.tensor(flags, dtype=torch.int32)
    dist.all_reduce(values, dist.ReduceOp.MAX, group=_cpu_group())
    return tuple(bool(value) for value in values.tolist())


def broadcast_from_rank0(value: T) -> T:
    """The first process's value. All must ask at the same step."""
    if not _connected():
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0, group=_cpu_group())
    return values[0]


def all_gather(value: T) -> list[T]:
    """The values of all processes, by rank, in every process."""
    if not _connected():
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value, group=_cpu_group())
    return values


def gather_to_main(value: T) -> list[T]:
    """The values of all processes, by rank; an empty list in all processes but the first."""
    if not _connected():
        return [value]
    values: list[Any] | None = [None] * world_size() if is_main_process() else None
    dist.gather_object(value, values, dst=0, group=_cpu_group())
    return values or []


def average_gradients(parameters: Iterable[Parameter]) -> None:
    """Replace each gradient by its mean over the processes, for what DDP does not look after.

    Dense ones travel as one tensor; of sparse (COO) ones only the entries. None counts as zero,
    and stays None where no process has a gradient. All processes must name the same parameters
    in the same order. A parameter may be replaced by one of another shape between two steps.

    Raises:
        RuntimeError: the parameters' sizes differ between the processes.
    """
    if not _connected():
        return
    chosen = [parameter for parameter in parameters if parameter.requires_grad]
    own = torch.tensor([_kind(parameter) for parameter in chosen]).view(-1, 3)
    everyones = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(everyones, own, group=_cpu_group())
    sizes, counts, sparse_dims = torch.stack(everyones).unbind(2)  # each (process, parameter)
    if bool((sizes != sizes[0]).any()):
        raise RuntimeError("the processes' parameters have different sizes")
    dense: list[Parameter] = []
    for i, parameter in enumerate(chosen):
        if bool((counts[:, i] == _DENSE).any()):
            dense.append(parameter)
        elif bool((counts[:, i] != _NONE).any()):
            entries = counts[:, i].clamp_min(0).tolist()
            _average_sparse(parameter, entries, int(sparse_dims[:, i].max()))
    # Together they take one message for each type, not one for each parameter.
    for dtype in dict.fromkeys(parameter.dtype for parameter in dense):
        _average_dense([parameter for parameter in dense if parameter.dtype == dtype])


def _kind(parameter: Parameter) -> tuple[int, int, int]:
    """Its size, the entries of its gradient (or what else that is), its sparse dimensions."""
    if parameter.grad is None:
        return parameter.numel(), _NONE, 0
    if not parameter.grad.is_sparse:
        return parameter.numel(), _DENSE, 0
    parameter.grad = parameter.grad.coalesce()
    return parameter.numel(), parameter.grad._nnz(), parameter.grad.sparse_dim()


def _average_dense(parameters: list[Parameter]) -> None:
    gradients = []
    for parameter in parameters:
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        gradients.append((gradient.to_dense() if gradient.is_sparse else gradient).reshape(-1))
    flat = torch.cat(gradients)
    dist.all_reduce(flat)
    flat /= world_size()
    sizes = [parameter.numel() for parameter in parameters]
    for parameter, mean in zip(parameters, flat.split(sizes), strict=True):
        parameter.grad = mean.view(parameter.shape)


def _average_sparse(parameter: Parameter, counts: list[int], sparse_dim: int) -> None:
    """counts: entries of each process's gradient."""
    most, shape, device = max(counts), parameter.shape, parameter.device
    indices = torch.zeros((sparse_dim, most), dtype=torch.long, device=device)
    values = torch.zeros((most, *shape[sparse_dim:]), dtype=parameter.dtype, device=device)
    if parameter.grad is not None:
        count = parameter.grad._nnz()
        indices[:, :count] = parameter.grad.indices()
        values[:count] = parameter.grad.values()
    all_indices = [torch.empty_like(indices) for _ in counts]
    all_values = [torch.empty_like(values) for _ in counts]
    dist.all_gather(all_indices, indices)
    dist.all_gather(all_values, values)
    together = torch.sparse_coo_tensor(
        torch.cat([part[:, :n] for part, n in zip(all_indices, counts, strict=True)], dim=1),
        torch.cat([part[:n] for part, n in zip(all_values, counts, strict=True)]) / len(counts),
        shape,
        check_invariants=False,  # they are entries of gradients of this shape
    )
    parameter.grad = together.coalesce()


def _number(name: str, alone: int) -> int:
    torchrun, slurm = _NAMES[name]
    if in_torchrun():
        return int(os.environ[torchrun])
    return int(os.environ[slurm]) if in_slurm() else alone


def _connected() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


@functools.cache
def _cpu_group() -> dist.ProcessGroup | None:
    """Processes that agree through it need not wait for their GPUs."""
    return None if dist.get_backend() == "gloo" else dist.new_group(backend="gloo")


def keep_from_ddp(module: torch.nn.Module, parameters: list[str]) -> None:
    """Let DDP not look after these parameters, besides those named before, nor any buffer."""
    named = {*getattr(module, "_ddp_params_and_buffers_to_ignore", ()), *parameters}
    named |= {name for name, _ in module.named_buffers()}
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, sorted(named))
