#!/usr/bin/env python3
"""Prints what became of a Slurm job: running, success or failed. Another scheduler needs another script."""

import subprocess
import sys

GONE_WELL = {"COMPLETED"}
UNDER_WAY = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "PREEMPTED", "REQUEUED", "RESIZING"}

done = subprocess.run(
    ["squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={sys.argv[1]}"], capture_output=True, text=True
)
if "Invalid job id" in done.stderr:
    # Slurm forgets a job MinJobAge after its end; the jobs of this profile are asked for more often.
    print("failed")
elif done.returncode != 0:
    # The controller does not answer; it may later.
    print("running")
else:
    state = done.stdout.strip()
    print("success" if state in GONE_WELL else "running" if state in UNDER_WAY else "failed")
