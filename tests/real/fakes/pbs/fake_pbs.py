#!/usr/bin/env python3
"""A fake of OpenPBS's commands: ``qsub``, ``qstat``, ``qselect``, ``qdel``, by the name it has.

No PBS can be installed from where these tests get their programs. This does what OpenPBS 23.06 is
documented and was seen to do, as far as the spawner meets it: ids with the server's name; a job's
script on stdin, run by a shell as a process of its own with ``PBS_…`` variables; its output brought
to its place at the end; states Q, H, R, E, F; a comment on why it waits; ``qstat -x -f -F json``;
exit codes 153 (no such job) and 35 (it has finished, and ``-x`` was not given); ``Exit_status`` 271
for qdel and -29 for the walltime.

The "server" is the folder ``$FAKE_PBS``: a file per job, ``slots`` with the number of processors,
and ``down`` while it does not answer.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Job = dict[str, Any]
ROOT = Path(os.environ["FAKE_PBS"])
SERVER = "fakepbs"
KILL_DELAY = 3.0


def main() -> None:
    verb = Path(sys.argv[0]).name
    if (ROOT / "down").exists():
        print(f"Connection refused\n{verb}: cannot connect to server {SERVER} (errno=111)",
              file=sys.stderr)  # fmt: skip
        sys.exit(111)
    sys.exit({"qsub": qsub, "qstat": qstat, "qselect": qselect, "qdel": qdel}[verb](sys.argv[1:]))


@contextlib.contextmanager
def locked() -> Iterator[None]:
    with (ROOT / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def jobs() -> list[Job]:
    found = (json.loads(p.read_text()) for p in ROOT.glob("*.job"))
    return sorted(found, key=lambda job: job["number"])


def save(job: Job) -> None:
    path = ROOT / f"{job['number']}.job"
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(job))
    temporary.rename(path)


def load(job_id: str) -> Job | None:
    path = ROOT / f"{job_id.partition('.')[0]}.job"
    return json.loads(path.read_text()) if path.exists() else None


def known(number: int) -> Job:
    job = load(str(number))
    assert job is not None
    return job


def qsub(argv: list[str]) -> int:
    options: dict[str, str] = {}
    resources: dict[str, str] = {}
    held = export = False
    while argv:
        option = argv.pop(0)
        if option == "-h":
            held = True
        elif option == "-V":
            export = True
        elif option == "-l":
            for part in argv.pop(0).split(","):
                name, _, value = part.partition("=")
                resources[name] = value
        elif option in ("-N", "-o", "-j", "-r", "-S", "-q", "-A"):
            options[option] = argv.pop(0)
        else:
            print(f"qsub: invalid option -- '{option}'", file=sys.stderr)
            return 2
    if options.get("-q", "workq") != "workq":
        print("qsub: Unknown queue", file=sys.stderr)
        return 170
    script = sys.stdin.read()
    with locked():
        number = max([job["number"] for job in jobs()], default=0) + 1
        ncpus = re.search(r"ncpus=(\d+)", resources.get("select", ""))
        job: Job = {
            "number": number,
            "id": f"{number}.{SERVER}",
            "name": options.get("-N", "STDIN"),
            "output": options.get("-o"),
            "state": "H" if held else "Q",
            "cpus": int(ncpus.group(1)) if ncpus else 1,
            "resources": resources,
            "queue": "workq",
            "comment": "",
        }
        (ROOT / f"{number}.sh").write_text(script)
        save(job)
    env = dict(os.environ) if export else {k: os.environ[k] for k in ("HOME", "PATH", "LANG")
                                           if k in os.environ}  # fmt: skip
    env |= {"PBS_JOBID": job["id"], "PBS_JOBNAME": job["name"], "PBS_O_WORKDIR": str(Path.cwd())}
    if os.fork() == 0:
        os.setsid()
        for fd in range(3):
            os.dup2(os.open(os.devnull, os.O_RDWR), fd)
        mom(number, env)
        os._exit(0)
    print(job["id"])
    return 0


def mom(number: int, env: dict[str, str]) -> None:
    """Wait for a place, run the script, see to its end."""
    while not begin(number):
        job = load(str(number))
        if job is None or job["state"] == "F":
            return
        time.sleep(0.1)
    job = known(number)
    spool = ROOT / f"{number}.OU"
    with spool.open("wb") as out:
        child = subprocess.Popen(
            ["/bin/sh", str(ROOT / f"{number}.sh")],
            env=env, cwd=env.get("HOME", "/"), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    limit = seconds(job["resources"].get("walltime"))
    ended: int | None = None
    began = killed = time.time()
    while child.poll() is None:
        asked = (ROOT / f"{number}.del").exists()
        late = limit is not None and time.time() - began > limit
        if (asked or late) and ended is None:
            ended = 271 if asked else -29
            os.killpg(child.pid, signal.SIGTERM)
            killed = time.time() + KILL_DELAY
        if ended is not None and time.time() > killed:
            os.killpg(child.pid, signal.SIGKILL)
        time.sleep(0.1)
    with locked():
        job["state"] = "E"
        save(job)
    if job["output"]:
        Path(job["output"]).write_bytes(spool.read_bytes())
    code = child.returncode
    with locked():
        job.update(state="F", exit=ended or (code if code >= 0 else 256 - code))
        job["used"] = int(time.time() - began)
        save(job)


def begin(number: int) -> bool:
    with locked():
        job = known(number)
        if job["state"] != "Q":
            return False
        used = sum(other["cpus"] for other in jobs() if other["state"] in "RE")
        if used + job["cpus"] > int((ROOT / "slots").read_text()):
            job["comment"] = "Not Running: Insufficient amount of resource: ncpus"
            save(job)
            return False
        job.update(state="R", stime=time.time(), comment="Job run")
        save(job)
        return True


def seconds(walltime: str | None) -> int | None:
    parts = [int(part) for part in (walltime or "").split(":") if part]
    total = 0
    for part in parts:
        total = total * 60 + part
    return total if parts else None


def qstat(argv: list[str]) -> int:
    flags = [a for a in argv if a.startswith("-")]
    ids = [a for a in argv if not a.startswith("-") and a != "json"]
    if "-Q" in flags:
        print("Queue: workq\n    queue_type = Execution\n    enabled = True\n    started = True\n")
        return 0
    history, code = "-x" in flags, 0
    told: dict[str, Job] = {}
    for job_id in ids or [job["id"] for job in jobs()]:
        job = load(job_id)
        if job is None:
            print(f"qstat: Unknown Job Id {job_id}", file=sys.stderr)
            code = 153
        elif job["state"] == "F" and not history:
            print(f"qstat: {job['id']} Job has finished, use -x or -H to obtain historical job "
                  "information", file=sys.stderr)  # fmt: skip
            code = 35
        else:
            told[job["id"]] = described(job)
    if told or not code:
        print(json.dumps({"timestamp": int(time.time()), "pbs_version": "23.06.06",
                          "pbs_server": SERVER, "Jobs": told}, indent=4))  # fmt: skip
    return code


def described(job: Job) -> Job:
    facts = {
        "Job_Name": job["name"],
        "Job_Owner": f"{os.environ.get('USER', 'root')}@login",
        "job_state": job["state"],
        "queue": job["queue"],
        "server": SERVER,
        "Resource_List": {"ncpus": job["cpus"], "nodect": 1, **job["resources"]},
        "comment": job["comment"],
    }
    if "stime" in job:
        facts["stime"] = time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(job["stime"]))
        facts["exec_host"] = f"{os.uname().nodename}/0*{job['cpus']}"
    if "exit" in job:
        facts["Exit_status"] = job["exit"]
    if "used" in job:
        facts["resources_used"] = {"walltime": time.strftime("%H:%M:%S", time.gmtime(job["used"]))}
    return facts


def qselect(argv: list[str]) -> int:
    name, history = argv[argv.index("-N") + 1], "-x" in argv
    for job in jobs():
        if job["name"] == name and (history or job["state"] != "F"):
            print(job["id"])
    return 0


def qdel(ids: list[str]) -> int:
    code = 0
    for job_id in ids:
        with locked():
            job = load(job_id)
            if job is None:
                print(f"qdel: Unknown Job Id {job_id}", file=sys.stderr)
                code = 153
            elif job["state"] == "F":
                print(f"qdel: Job has finished {job['id']}", file=sys.stderr)
                code = 35
            elif job["state"] in "QH":
                job.update(state="F", exit=271)
                save(job)
            else:
                (ROOT / f"{job['number']}.del").touch()
        # The real one comes back once a running job has been told, not once it has ended.
    return code


main()
