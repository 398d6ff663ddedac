"""What the app uses: processors and memory."""

import contextlib
import os
import time
from typing import Dict, List, Tuple

from .files import write_json
from .processes import ATTEMPT, PROC, RUNNER, marks, processes

FIRST_SAMPLE, SAMPLE = 1.5, 10.0  # seconds after the start, and between samples of what it uses
SAMPLES = 60  # samples that are kept: ten minutes


class Meter:
    """Samples what the processes below the runner use.

    A sample looks at these processes alone, by the kernel's lists of children, so that its cost
    does not grow with what else runs on the machine. What left the tree is not counted, and
    neither is another session that was started from within this one.

    Processors are the difference of the time that was used, that of ended children included,
    between two samples. Memory is what each process has resident less what it shares (files,
    libraries, shared memory): a sum that counts nothing twice, and that can be had without
    walking through page tables, as a proportional share cannot.
    """

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, "usage.json")
        self._samples: List[Tuple[float, float, int]] = []
        self._then, self._used = time.monotonic(), 0
        self.due = self._then + FIRST_SAMPLE if PROC else float("inf")
        """When to take the next sample, by the monotonic clock."""

    def sample(self, mark: str) -> None:
        """Take a sample of what runs as the attempt `mark`, and write it down."""
        now = time.monotonic()
        self.due = now + SAMPLE
        with contextlib.suppress(OSError, ValueError, IndexError):  # no sample is no harm
            used, memory, count = consumption(os.getpid(), mark)
            cpu = (used - self._used) / os.sysconf("SC_CLK_TCK") / max(now - self._then, 0.001)
            # Less than nothing: an ended child was not asked for by its parent. More than there
            # is: a child was adopted, with all that it had used before.
            cpu = round(min(max(cpu, 0.0), float(os.cpu_count() or 1)), 3)
            self._then, self._used = now, used
            self._samples = [*self._samples, (round(time.time(), 1), cpu, memory)][-SAMPLES:]
            told = {"cpu": cpu, "memory": memory, "processes": count, "samples": self._samples}
            write_json(self._path, told, keep=False)


def consumption(runner: int, mark: str) -> Tuple[int, int, int]:
    """The clock ticks that all below `runner` have used, their bytes of memory, their number."""
    ticks, pages, count = sum(_times(runner)[2:]), 0, 0
    children = _children
    if not os.path.exists(f"/proc/{runner}/task/{runner}/children"):  # a kernel without them
        below: Dict[int, List[int]] = {}
        for found in processes():
            below.setdefault(found.ppid, []).append(found.pid)

        def children(pid: int) -> List[int]:
            return below.get(pid, [])

    pending, seen = children(runner), {runner}
    while pending:
        pid = pending.pop()
        if pid in seen:
            continue
        seen.add(pid)
        with contextlib.suppress(OSError, ValueError, IndexError):  # it ended meanwhile
            mine = marks(pid)
            if RUNNER in mine or mine.get(ATTEMPT, mark) != mark:
                continue
            ticks += sum(_times(pid))
            pending += children(pid)
            with open(f"/proc/{pid}/statm", "rb") as file:
                _, resident, shared = file.read().split()[:3]
            if resident != b"0":  # a zombie has used its time, and uses nothing any more
                pages += max(0, int(resident) - int(shared))
                count += 1
    return ticks, pages * os.sysconf("SC_PAGE_SIZE"), count


def _times(pid: int) -> List[int]:
    """Clock ticks used by `pid`: by itself as user and system, by its ended children likewise."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        text = file.read()
    return [int(value) for value in text[text.rfind(b")") + 2 :].split()[11:15]]


def _children(pid: int) -> List[int]:
    """The children of `pid`, those of all its threads."""
    found: List[int] = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        path = f"/proc/{pid}/task/{thread}/children"
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:  # or it ended
            found += [int(child) for child in file.read().split()]
    return found
