"""What the manager uses: its whole process tree, read from /proc."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from egress_manager.adapters.process_renderer import MODULE as RENDERER

Seconds = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Tree:
    """The process `pid` and all below it, as often as they are looked at."""

    pid: int

    def cpu(self) -> Seconds:
        """CPU seconds since each began, by `main`, `renderer` and `others` (those that ended)."""
        used: Counter[str] = Counter()
        for process in self._processes():
            times = process.cpu_times()
            used[self._role(process)] += times.user + times.system
            used["others"] += times.children_user + times.children_system
        return used

    def memory(self) -> float:
        """MiB in use, pages of programs and libraries left out.

        Of those each process is charged its share, which changes with what else runs on the
        machine: by more than a call takes.
        """
        return sum(_pss(process.pid)["Pss_Anon"] for process in self._processes()) / 1024

    def memory_with_programs(self) -> float:
        """MiB in use, all of it (PSS: a page that several processes share counts once)."""
        return sum(_pss(process.pid)["Pss"] for process in self._processes()) / 1024

    def memory_by_process(self) -> Mapping[str, float]:
        """MiB in use, as `memory` counts them, by process."""
        return {self._role(p): round(_pss(p.pid)["Pss_Anon"] / 1024, 1) for p in self._processes()}

    def handles(self, ports: Mapping[int, str]) -> Mapping[str, int]:
        """Open files and sockets by what they are: `socket to NAME`, `pipe`, a path, …

        `ports` names whom a socket is connected to by the port that it has.
        """
        kinds: Counter[str] = Counter()
        for process in self._processes():
            peers = {c.fd: c.raddr.port for c in process.net_connections("inet") if c.raddr}
            for link in Path(f"/proc/{process.pid}/fd").iterdir():
                try:
                    kind = str(link.readlink()).partition(":")[0]
                except FileNotFoundError:
                    continue  # closed meanwhile
                peer = peers.get(int(link.name))
                kinds[f"{kind} to {ports.get(peer, 'others')}" if peer else kind] += 1
        return kinds

    def threads(self) -> int:
        """Threads, the main ones counted."""
        return sum(process.num_threads() for process in self._processes())

    def _processes(self) -> Iterator[psutil.Process]:
        root = psutil.Process(self.pid)
        yield root
        yield from root.children(recursive=True)

    def _role(self, process: psutil.Process) -> str:
        if process.pid == self.pid:
            return "main"
        return "renderer" if RENDERER in process.cmdline() else "others"


def since(before: Seconds, after: Seconds) -> Seconds:
    """What was used between two looks, by process."""
    return {name: after[name] - before.get(name, 0.0) for name in after}


def _pss(pid: int) -> Mapping[str, int]:
    """KiB by what they are: `Pss` is all, `Pss_Anon` what belongs to no file."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
