"""A Slurm of one node on loopback, all of it in one temporary directory, for as long as a `with` lasts."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={root}/munge/s
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort={controller}
SlurmdPort={node}
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
MinJobAge=300
KillWait=2
MessageTimeout=5
ReturnToService=2
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=12000 Gres=gpu:1
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing():
    """The daemons and commands that are not installed."""
    return [name for name in (*DAEMONS, "sbatch", "squeue") if find(name) is None]


def find(name):
    """Debian keeps daemons where the PATH of an ordinary user does not look."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))


class Slurm:
    """`environment` is what a process needs to see this cluster; `restart` restarts its controller."""

    def __init__(self, root):
        self.root = root
        self.conf = root / "slurm.conf"
        self.environment = os.environ | {
            "SLURM_CONF": str(self.conf),
            "PATH": f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }

    def write(self):
        for name in ("munge", "state", "spool", "bin"):
            (self.root / name).mkdir(mode=0o755)
        ports = [free_port(), free_port()]
        self.conf.write_text(
            CONF.format(
                host=socket.gethostname().split(".")[0],
                user=getpass.getuser(),
                root=self.root,
                controller=ports[0],
                node=ports[1],
            )
        )
        (self.root / "gres.conf").write_text("Name=gpu File=/dev/null\n")
        key = self.root / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        # Snakemake's job steps drop every SLURM_* variable but the job's; elsewhere /etc/slurm/slurm.conf is found.
        step = self.root / "bin" / "srun"
        step.write_text(f'#!/bin/sh\nSLURM_CONF={self.conf} exec {find("srun")} "$@"\n')
        step.chmod(0o755)

    def start(self, name):
        options = {
            "munged": ["--force", f"--socket={self.root}/munge/s", f"--key-file={self.root}/munge.key"]
            + [f"--{kind}-file={self.root}/munged.{kind}" for kind in ("pid", "log", "seed")],
            "slurmctld": ["-f", self.conf],
            "slurmd": ["-f", self.conf, "-N", socket.gethostname().split(".")[0]],
        }
        subprocess.run([find(name), *options[name]], check=True, env=self.environment, timeout=30)

    def stop(self, name):
        """End a daemon by the process id that it wrote down, and wait until it is gone."""
        try:
            pid = int((self.root / f"{name}.pid").read_text())
        except (OSError, ValueError):
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.kill(pid, number)
                wait_until(lambda: not alive(pid), 10)
                return
            except ProcessLookupError:
                return
            except TimeoutError:
                continue

    def restart(self, pause=0.0):
        self.stop("slurmctld")
        time.sleep(pause)
        self.start("slurmctld")
        wait_until(lambda: self.ask("scontrol", "ping").count("UP"), 30)

    def ask(self, *command):
        """Output of one of Slurm's commands, empty where it fails."""
        return subprocess.run(command, env=self.environment, text=True, capture_output=True, timeout=60).stdout


@contextmanager
def running(root):
    """Start a Slurm in an empty directory and yield it once its node is idle; everything is stopped at the end."""
    slurm = Slurm(Path(root))
    slurm.write()
    try:
        for name in DAEMONS:
            slurm.start(name)
        wait_until(lambda: "idle" in slurm.ask("sinfo", "--noheader", "--format=%T"), 30)
        yield slurm
    finally:
        slurm.ask("scancel", "--full", f"--user={getpass.getuser()}")
        for _ in range(50):
            if not slurm.ask("squeue", "--noheader"):
                break
            time.sleep(0.2)
        for name in reversed(DAEMONS):
            slurm.stop(name)


def free_port():
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds):
    """Return as soon as the condition holds; TimeoutError when it does not within that many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"the condition did not hold within {seconds} s")
        time.sleep(0.1)
