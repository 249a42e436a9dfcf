"""A Slurm cluster of two nodes on this machine, from Debian's packages.

slurm-wlm, slurmctld, slurmd, slurm-client and munge must be installed; nothing else of the machine
is touched. Both nodes are this host, under two names and two ports.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "scancel", "sinfo")

_CONF = """
ClusterName=seedbed
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CryptoType=crypto/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,requeue_delay=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/slurmd-%n.log
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=20
KillWait=5
InactiveLimit=0
MinJobAge=3600
SlurmdParameters=config_overrides
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={one} CPUs=2 RealMemory=4000
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={two} CPUs=2 RealMemory=4000
PartitionName=main Nodes=node1,node2 Default=YES MaxTime=90 PriorityTier=1 GraceTime=300
PartitionName=high Nodes=node1,node2 MaxTime=90 PriorityTier=10 PreemptMode=OFF
"""


def missing() -> str:
    """Why no cluster can be started here; "" where it can."""
    gone = [name for name in PROGRAMS if shutil.which(name) is None]
    if gone:
        return f"Slurm is not installed: {', '.join(gone)}"
    return "" if os.geteuid() == 0 else "Slurm's daemons need root"


class Slurm:
    """The cluster. `stop` ends all that it started."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(mode=0o755)
        (folder / "state").mkdir()
        ports = _free_ports(3)
        (folder / "slurm.conf").write_text(
            _CONF.format(
                folder=folder,
                host=socket.gethostname().split(".")[0],
                controller=ports[0],
                one=ports[1],
                two=ports[2],
            )
        )
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        paths = {"key-file": key, "socket": "munge.sock", "pid-file": "munge.pid"}
        paths |= {"log-file": "munge.log", "seed-file": "munge.seed"}
        self._start(
            "munged", "--foreground", "--force", *(f"--{k}={folder / v}" for k, v in paths.items())
        )
        _until(lambda: (folder / "munge.sock").exists(), 20, "munged does not listen")
        self._start("slurmctld", "-D")
        for node in ("node1", "node2"):
            self.start_node(node)
        _until(lambda: self.idle() == 2, 60, "the nodes do not come up")

    def start_node(self, node: str) -> None:
        self._start("slurmd", "-D", "-N", node, name=node)

    def lose(self, node: str) -> None:
        """The node and all that runs on it are gone at once."""
        process = self._running.pop(node)
        doomed = [process.pid, *_descendants(process.pid)]
        # A step's keeper belongs to no slurmd: it names its node.
        for keeper in _with_command(f"{self.folder}/spool-{node}") + _step_keepers(node):
            doomed += [keeper, *_descendants(keeper)]
        for pid in doomed:
            _kill(pid)
        process.wait()

    def idle(self) -> int:
        said = self.run("sinfo", "-N", "-h", "-p", "main", "-o", "%N %t")
        return sum(line.split()[1] == "idle" for line in said.splitlines())

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def job(self, number: str) -> dict[str, str]:
        """What Slurm knows of a job."""
        words = self.run("scontrol", "show", "job", number, "-o").split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def stop(self) -> None:
        subprocess.run(
            ["scancel", "--full", "--user=root"], env=self.environment, check=False, timeout=60
        )
        time.sleep(1)
        for node in ("node1", "node2"):
            if node in self._running:
                self.lose(node)
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.wait(timeout=30)

    def _start(self, *command: str, name: str = "") -> None:
        log = (self.folder / f"{name or command[0]}.out").open("ab")
        program = shutil.which(command[0])
        assert program
        self._running[name or command[0]] = subprocess.Popen(
            [program, *command[1:]], env=self.environment, stdout=log, stderr=log
        )


def _until(reached, seconds: float, problem: str) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, problem
        time.sleep(0.3)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _descendants(pid: int) -> list[int]:
    said = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    children = [int(word) for word in said.stdout.split()]
    return children + [one for child in children for one in _descendants(child)]


def _with_command(words: str) -> list[int]:
    said = subprocess.run(["pgrep", "-f", words], capture_output=True, text=True, check=False)
    return [int(word) for word in said.stdout.split() if int(word) != os.getpid()]


def _step_keepers(node: str) -> list[int]:
    """slurmstepd processes whose tasks Slurm gave this node's name."""
    found = []
    for pid in _with_command("slurmstepd: "):
        for child in _descendants(pid):
            try:
                told = Path(f"/proc/{child}/environ").read_bytes()
            except OSError:
                continue
            if f"SLURMD_NODENAME={node}\0".encode() in told:
                found.append(pid)
                break
    return found


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
