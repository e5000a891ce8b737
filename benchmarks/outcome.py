"""How a benchmark tells its result: with the command, the machine, the versions and the date."""

import json
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from wav2uti import __version__
from wav2uti.files import replaced


def publish(result: dict[str, Any], output: Path | None) -> None:
    """Print a result as JSON, and write it where `output` says, whole or not at all."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    told = result | {
        "command": shlex.join(["python", *sys.argv]),
        "machine": f"{_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end, "
        f"{platform.system()}",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip() or None,
        "versions": {"wav2uti": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }
    text = json.dumps(told, indent=2)
    print(text)
    if output is not None:
        with replaced(output) as part:
            part.write_text(text + "\n", encoding="utf-8")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
