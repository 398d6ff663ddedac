#!/usr/bin/env python3
"""A fake of PBS's commands: ``qsub``, ``qstat``, ``qselect``, ``qdel``, by the name it has.

No server of PBS can be installed from where these tests get their programs. What is printed, and
the exit codes, are those of the sources: OpenPBS 23.06 and Torque 6.1 (``src/cmds``,
``src/lib/Libcmds``, ``pbs_error``, ``job.h``). Jobs are processes of this machine.

The "server" is the folder ``$FAKE_PBS``:

``dialect``     ``openpbs`` or ``torque``
``history``     if it is there, OpenPBS keeps what has ended (``job_history_enable``)
``keep``        seconds for which Torque keeps what has ended (``keep_completed``)
``slots``       the number of processors
``down``        is there while it does not answer
``N.job``       job N; ``N.sh`` its script, ``N.OU`` its output until it has ended
``N.end``       makes job N end: an exit status, and a line that is written into its output
``N.epilogue``  what a hook writes there once it has ended
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

Job = dict[str, Any]
Fact = tuple[str, str]
ROOT = Path(os.environ["FAKE_PBS"])
SERVER = "fakepbs"
KILL_DELAY = 3.0
WIDTH = 78
TIMES = {"ctime", "etime", "mtime", "qtime", "stime", "start_time", "comp_time"}
UNKNOWN, BADSTATE, UNKQUE, UNKRESC, HISTORY = 153, 170, 172, 189, 35
"""The last digits of PBSE_…: an exit code has 8 bits."""


def torque() -> bool:
    return (ROOT / "dialect").read_text() == "torque"


def main() -> None:
    verb = Path(sys.argv[0]).name
    if (ROOT / "down").exists():
        sys.exit(silent(verb))
    sys.exit({"qsub": qsub, "qstat": qstat, "qselect": qselect, "qdel": qdel}[verb](sys.argv[1:]))


def no_such_job() -> str:
    return "Unknown Job Id Error" if torque() else "Unknown Job Id"


def silent(verb: str) -> int:
    if torque():
        said = f"{verb}: cannot connect to server {SERVER} (errno=111) Connection refused"
        return fails(f"Cannot connect to specified server host '{SERVER}'.", said, code=111)
    if verb == "qdel":
        return fails("Connection refused", f"Couldn't connect to cluster: {SERVER}", code=111)
    said = f"{verb}: cannot connect to server {SERVER} (errno=111)"
    return fails("Connection refused", said, code=255 if verb == "qstat" else 111)


def fails(*lines: str, code: int) -> int:
    for line in lines:
        print(line, file=sys.stderr)
    return code


# The server ------------------------------------------------------------------------------------


@contextlib.contextmanager
def locked() -> Iterator[None]:
    with (ROOT / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def jobs() -> list[Job]:
    found = (load(path.stem) for path in ROOT.glob("*.job"))
    return sorted((job for job in found if job), key=lambda job: int(job["number"]))


def save(job: Job) -> None:
    path = ROOT / f"{job['number']}.job"
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(job))
    temporary.rename(path)


def load(job_id: str) -> Job | None:
    """The job, if the server still knows it."""
    path = ROOT / f"{job_id.partition('.')[0]}.job"
    try:
        job: Job = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    if job["state"] == "C":
        kept = time.time() - job["ended"] < float((ROOT / "keep").read_text())
    else:
        kept = job["state"] != "F" or (ROOT / "history").exists()
    return job if kept else None


def change(number: int, **facts: Any) -> Job:
    with locked():
        job = json.loads((ROOT / f"{number}.job").read_text())
        job.update(facts)
        save(job)
        return dict(job)


def over() -> str:
    return "C" if torque() else "F"


def mom(number: int, env: dict[str, str]) -> None:
    """Wait for a place, run the script, see to its end."""
    while not (job := begin(number)):
        waits = load(str(number))
        if waits is None or waits["state"] in "FC":
            return
        time.sleep(0.1)
    spool, order = ROOT / f"{number}.OU", ROOT / f"{number}.end"
    with spool.open("wb") as out:
        child = subprocess.Popen(
            ["/bin/sh", str(ROOT / f"{number}.sh")],
            env=env, cwd=env.get("HOME", "/"), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
        limit, began, ended = seconds(job["resources"].get("walltime")), time.time(), ""
        killed = 0.0
        while child.poll() is None:
            late = limit is not None and time.time() - began > limit
            if not ended and (order.exists() or late):
                ended = order.read_text() if order.exists() else time_is_up(began, limit)
                os.killpg(child.pid, signal.SIGTERM)
                killed = time.time() + KILL_DELAY
            if ended and time.time() > killed:
                os.killpg(child.pid, signal.SIGKILL)
            time.sleep(0.1)
        status, _, why = ended.partition(" ")
        hook = ROOT / f"{number}.epilogue"
        out.write(f"{why}\n{hook.read_text() if hook.exists() else ''}".encode())
    change(number, state="E", used=int(time.time() - began))
    if job["output"]:
        Path(job["output"]).write_bytes(spool.read_bytes())
    code = int(status) if status else child.returncode
    status_told = code if status or code >= 0 else 256 - code
    change(number, state=over(), exit=status_told, ended=time.time(), comment=at_the_end(job, code))


def time_is_up(began: float, limit: int | None) -> str:
    status = -11 if torque() else -29
    return (
        f"{status} =>> PBS: job killed: walltime {time.time() - began:.0f} exceeded limit {limit}"
    )


def at_the_end(job: Job, code: int) -> str:
    if torque():
        return str(job["comment"])
    return f"{job['comment']} and {'finished' if code == 0 else 'failed'}"


def begin(number: int) -> Job | None:
    with locked():
        job = load(str(number))
        if job is None or job["state"] != "Q":
            return None
        used = sum(other["cpus"] for other in jobs() if other["state"] in "RE")
        if used + job["cpus"] > int((ROOT / "slots").read_text()):
            job["comment"] = "Not Running: Insufficient amount of resource: ncpus"
            save(job)
            return None
        now = time.strftime("%a %b %d at %H:%M")
        comment = f"Job run at {now} on ({node()}:ncpus={job['cpus']})"
        job.update(state="R", stime=time.time(), comment="" if torque() else comment)
        save(job)
        return job


def node() -> str:
    return os.uname().nodename


def seconds(walltime: str | None) -> int | None:
    parts = [int(part) for part in (walltime or "").split(":") if part]
    total = 0
    for part in parts:
        total = total * 60 + part
    return total if parts else None


# qsub ------------------------------------------------------------------------------------------


def qsub(argv: list[str]) -> int:
    script = sys.stdin.read()
    try:
        given = options(argv)
        inside = options(directives(script))
    except ValueError as error:
        return fails(f"qsub: invalid option -- '{error}'", code=2)
    resources = {**inside.pop("-l", {}), **given.pop("-l", {})}
    chosen: dict[str, Any] = {**inside, **given}
    if wrong := {"select", "place", "nodes"} & resources.keys() - known_resources():
        name = f"Resource_List.{wrong.pop()}"
        said = f"submit error (Unknown resource type  {name})" if torque() else name
        return fails(f"qsub: {said}", code=UNKRESC)
    queue = "batch" if torque() else "workq"
    if chosen.get("-q", queue).partition("@")[0] != queue:
        said = (
            "submit error (Unknown queue MSG=cannot locate queue)" if torque() else "Unknown queue"
        )
        return fails(f"qsub: {said}", code=UNKQUE)
    asked = resources.get("nodes" if torque() else "select", "")
    cpus = re.search(r"(?:ncpus|ppn)=(\d+)", asked)
    with locked():
        number = 1 + max([int(path.stem) for path in ROOT.glob("*.job")], default=0)
        job: Job = {
            "number": number,
            "id": f"{number}.{SERVER}",
            "name": chosen.get("-N", "STDIN"),
            "account": chosen.get("-A", ""),
            "output": chosen.get("-o"),
            "rerunable": chosen.get("-r", "y") == "y",
            "state": "H" if "-h" in chosen else "Q",
            "cpus": int(cpus.group(1)) if cpus else 1,
            "resources": resources,
            "queue": queue,
            "created": time.time(),
            "comment": "",
        }
        names = {"HOME", "PATH", "LANG", *chosen.get("-v", "").split(",")}
        env = {k: v for k, v in os.environ.items() if "-V" in chosen or k in names}
        job["variables"] = {"PBS_O_HOME": env.get("HOME", ""), "PBS_O_QUEUE": queue, **env}
        (ROOT / f"{number}.sh").write_text(script)
        save(job)
    env |= {"PBS_JOBID": job["id"], "PBS_JOBNAME": job["name"], "PBS_O_WORKDIR": str(Path.cwd())}
    if os.fork() == 0:
        os.setsid()
        for fd in range(3):
            os.dup2(os.open(os.devnull, os.O_RDWR), fd)
        mom(number, env)
        os._exit(0)
    print(job["id"])
    return 0


def known_resources() -> set[str]:
    return {"nodes"} if torque() else {"select", "place"}


def options(argv: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"-l": {}}
    argv = list(argv)
    while argv:
        option = argv.pop(0)
        if option in ("-h", "-V"):
            found[option] = True
        elif option == "-l":
            parts = (part.partition("=") for part in argv.pop(0).split(","))
            found["-l"] |= {name: value for name, _, value in parts}
        elif option in ("-N", "-o", "-e", "-j", "-r", "-S", "-q", "-v", "-A"):
            found[option] = argv.pop(0)
        else:
            raise ValueError(option)
    return found


def directives(script: str) -> list[str]:
    """What the script asks for: lines with #PBS, before the first command."""
    found: list[str] = []
    for line in script.splitlines():
        if line.startswith("#PBS"):
            found += shlex.split(line.removeprefix("#PBS"))
        elif line.strip() and not line.startswith("#"):
            break
    return found


# qstat -----------------------------------------------------------------------------------------


def qstat(argv: list[str]) -> int:
    flags = {f"-{letter}" for a in argv if a.startswith("-") for letter in a[1:]}
    ids = [a for a in argv if not a.startswith("-")]
    if "-Q" in flags:
        queue = "batch" if torque() else "workq"
        print(f"Queue: {queue}\n    queue_type = Execution\n    total_jobs = {len(jobs())}")
        print("    enabled = True\n    started = True\n")
        return 0
    history, xml = "-x" in flags and not torque(), "-x" in flags and torque()
    codes, said = [0], []
    for job_id in ids or [job["id"] for job in jobs()]:
        job = load(job_id)
        full_id = f"{job_id.partition('.')[0]}.{SERVER}"
        if history and not (ROOT / "history").exists():
            said.append(f"qstat: job_history_enable is set to false {full_id}")
            codes.append(0)
        elif job is None:
            said.append(f"qstat: {no_such_job()} {full_id}")
            codes.append(UNKNOWN)
        elif job["state"] == "F" and not history:
            hint = "use -x or -H to obtain historical job information"
            said.append(f"qstat: {full_id} Job has finished, {hint}")
            codes.append(HISTORY)
        elif job["state"] == "C" and "PBS_QSTAT_NO_COMPLETE" in os.environ:
            codes.append(0)
        elif xml:
            print(f'<?xml version="1.0"?>\n<Data><Job><Job_Id>{full_id}</Job_Id>', end="")
            plain = [(name, value) for name, value in facts_of(job) if "." not in name]
            print(*(f"<{name}>{escape(value)}</{name}>" for name, value in plain), sep="", end="")
            print("</Job></Data>")
        else:
            print(f"Job Id: {full_id}")
            for name, value in facts_of(job):
                shown = time.ctime(float(value)) if name in TIMES else value
                print(f"    {name} = {folded(name, shown)}")
            print()
    failed = [code for code in codes if code]
    fails(*said, code=0)
    return (failed[0] if torque() else failed[-1]) if failed else 0


def folded(name: str, value: str) -> str:
    """A value in lines: broken behind commas, and inside what is longer than a line."""
    start, text = len(name) + 7, ""
    for number, part in enumerate(part for part in value.split(",") if part):
        text += "," if number else ""
        if start + len(part) < WIDTH:
            text, start = text + part, start + len(part)
            continue
        if number:
            text, start = text + "\n\t", 9
        for character in part:
            text, start = text + character, start + 1
            if start > WIDTH:
                text, start = text + "\n\t", 8
    return text


def facts_of(job: Job) -> list[Fact]:
    """What the server says of a job, in its order."""
    facts: list[Fact] = [("Job_Name", job["name"]), ("Job_Owner", "ada@login")]
    if "used" in job:
        used = time.strftime("%H:%M:%S", time.gmtime(job["used"]))
        facts += [("resources_used.cput", "00:00:00"), ("resources_used.walltime", used)]
    facts += [("job_state", job["state"]), ("queue", job["queue"]), ("server", SERVER)]
    if job["account"]:
        facts.append(("Account_Name", job["account"]))
    facts.append(("ctime", str(job["created"])))
    begun = [("stime", str(job["stime"]))] if "stime" in job else []
    if begun:
        last = job["cpus"] - 1
        where = f"/0-{last}" if torque() and last else f"/0*{job['cpus']}" if last else "/0"
        facts.append(("exec_host", node() + where))
    facts += [
        ("Join_Path", "oe"),
        ("Output_Path", f"login:{job['output']}"),
        ("Rerunable", str(job["rerunable"])),
        *((f"Resource_List.{name}", value) for name, value in job["resources"].items()),
    ]
    values = (k + "=" + re.sub(r"([,\\])", r"\\\1", v) for k, v in job["variables"].items())
    listed = ("Variable_List", ",".join(values))
    if torque():
        facts += [listed, *(("start_time", value) for _, value in begun)]
        facts += [("exit_status", str(job["exit"]))] if "exit" in job else []
    else:
        facts += [*begun, listed]
        facts += [("Exit_status", str(job["exit"]))] if "exit" in job else []
    return [*facts, *([("comment", job["comment"])] if job["comment"] else [])]


# qselect, qdel ---------------------------------------------------------------------------------


def qselect(argv: list[str]) -> int:
    name, history = argv[argv.index("-N") + 1], "-x" in argv
    if history and torque():
        return fails("qselect: invalid option -- 'x'", code=2)
    if history and not (ROOT / "history").exists():
        return fails("qselect: job_history_enable is set to false", code=0)
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
                code = fails(
                    f"qdel: Unknown Job Id{' Error' if torque() else ''} {job_id}", code=153
                )
            elif job["state"] == "F":
                code = fails(f"qdel: Job has finished {job['id']}", code=HISTORY)
            elif job["state"] in "EC":
                message = " MSG=invalid state for job - COMPLETE" if torque() else ""
                said = f"qdel: Request invalid for state of job{message} {job['id']}"
                code = fails(said, code=BADSTATE)
            elif job["state"] in "QH":
                job.update(state=over(), exit=271, ended=time.time())
                save(job)
            else:
                (ROOT / f"{job['number']}.end").write_text("271")
        # The real one comes back once a running job has been told, not once it has ended.
    return code


main()
