"""Which code ran on which machine."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from models.parallel import cores

ROOT = Path(__file__).resolve().parents[2]
# What a measurement writes itself, and pages, are no change of the code.
_NOT_CODE = (":!benchmarks/results", ":!docs", ":!*.md")


def git(*args: str) -> str | None:
    """Output of git in the project's folder; None where there is no git, or it fails."""
    try:
        done = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def commit() -> str:
    """Full hash of the commit that is checked out; "unknown" where git does not tell."""
    return git("rev-parse", "HEAD") or "unknown"


def has_changes() -> bool:
    """Whether the code differs from its commit."""
    return bool(git("status", "--porcelain", "--", ".", *_NOT_CODE))


def commits_since(commit: str) -> int | None:
    """Commits from `commit` to the one that is checked out; None where git does not know it."""
    count = git("rev-list", "--count", f"{commit}..HEAD")
    return None if count is None else int(count)


def machine() -> dict[str, Any]:
    """Model and cores of the processor, PyTorch's threads, memory in GB, and the GPU."""
    found: dict[str, Any] = {"cpu": cpu_name(), "cores": os.cpu_count(), "threads": cores()}
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        found["ram_gb"] = round(memory / 2**30, 1)
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
        found["gpu_gb"] = round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1)
    elif torch.backends.mps.is_available():
        found["gpu"] = "Apple GPU"
    return found


def cpu_name() -> str:
    """The processor's model as the system names it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.split(":", 1)[1].split())
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Of Python and PyTorch."""
    return {"python": platform.python_version(), "torch": str(torch.__version__)}
