"""One run of a program: wall time, processor time, and the most memory that the program itself had resident."""

import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass


@dataclass
class Usage:
    wall: float  # seconds
    cpu: float  # seconds, user and system, of the program and all that it started
    peak: int  # KiB resident, of the program's first process alone: what a RUN starts does not count

    def __add__(self, other):
        return Usage(self.wall + other.wall, self.cpu + other.cpu, max(self.peak, other.peak))


def peak_of(pid):
    """VmHWM: the kernel keeps the maximum, so that asking now and then misses only what rose after the last time."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def measured(arguments, log, environment=None, timeout=1800):
    """Runs a program that must succeed. Its output goes to the file `log`, which a failure quotes."""
    with open(log, "wb") as output:
        start = time.monotonic()
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
        handle = os.pidfd_open(process.pid)
        peak = 0
        # 20 ms: a maximum between two looks is not lost, and looking costs less than 1 % of a core.
        while not select.select([handle], [], [], 0.02)[0]:
            peak = max(peak, peak_of(process.pid))
            if time.monotonic() - start > timeout:
                process.send_signal(signal.SIGKILL)
        wall = time.monotonic() - start
        os.close(handle)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        with open(log, encoding="utf-8", errors="replace") as file:
            tail = "".join(file.readlines()[-20:])
        raise SystemExit(f"{' '.join(map(str, arguments))}\nended with {process.returncode}:\n{tail}")
    return Usage(wall, usage.ru_utime + usage.ru_stime, peak)
