"""The app of ``jupyter sessions spawners check``: answers with a word, and runs gates to itself.

Standard library only, Python 3.6 or later, no import of the package: the text of this file is sent
to where the app runs, as ``python -c TEXT SOCKET DIRECTORY FILE RUNNER``. It listens at the Unix
socket SOCKET. RUNNER is what Python runs as the runner. FILE is JSON: the ``word``; ``gates``, by
the name of a way, the ``settings`` (what a gate finds under ``gate``) and the ``files``. Each gate
gets a folder of its own in DIRECTORY, as it would have in a session.

What became of the gates is a line of the log: the word and a JSON object, by the name of a way the
content of its ``gate.json``. Gates end with this program: they read a pipe of its.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from typing import Any, Dict, List

GATE_SECONDS = 20.0  # for a gate to listen, or to say why it does not
LOOK = 0.1

Json = Dict[str, Any]


def answer(listener: socket.socket, word: str) -> None:
    """Say `word` to whoever connects, one after the other, once they have said anything."""
    while True:
        connection, _ = listener.accept()
        try:
            connection.settimeout(5)
            if connection.recv(1):
                connection.sendall(word.encode() + b"\n")
        except OSError:
            pass
        finally:
            connection.close()


def begin(directory: str, runner: str, gate: Json, address: Json) -> Any:
    """Start a gate in the folder `directory`, which is made, to what listens at `address`."""
    os.mkdir(directory, 0o700)
    files = dict(gate["files"], **{"launch.json": json.dumps({"gate": gate["settings"]})})
    for name, text in files.items():
        fd = os.open(os.path.join(directory, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(text)
    return subprocess.Popen(
        [sys.executable, "-I", "-S", runner, "gate", directory, json.dumps(address)],
        cwd="/",
        stdin=subprocess.PIPE,
    )


def outcome(directory: str, process: Any) -> Json:
    """What a gate says of itself, once it does."""
    end = time.time() + GATE_SECONDS
    while time.time() < end:
        ended = process.poll()
        try:
            with open(os.path.join(directory, "gate.json"), "rb") as file:
                return dict(json.loads(file.read().decode("utf-8")))
        except (OSError, ValueError):
            if ended is not None:
                return {"error": "Its gate ended with code {}: see the log.".format(ended)}
        time.sleep(LOOK)
    return {"error": "Its gate did not listen within {:g} s.".format(GATE_SECONDS)}


def main(argv: List[str]) -> None:
    path, directory, told_file, runner = argv
    with open(told_file, "rb") as file:
        asked = json.loads(file.read().decode("utf-8"))
    word = str(asked["word"])
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(64)
    answers = threading.Thread(target=answer, args=(listener, word))
    answers.start()
    address = {"scheme": "unix", "path": path}
    processes, told = {}, {}
    for name, gate in asked["gates"].items():
        try:
            processes[name] = begin(os.path.join(directory, name), runner, gate, address)
        except OSError as error:
            told[name] = {"error": "Its gate cannot be started: {}.".format(error)}
    for name, process in processes.items():
        told[name] = outcome(os.path.join(directory, name), process)
    print(word + json.dumps(told), flush=True)
    answers.join()


if __name__ == "__main__":
    main(sys.argv[1:])
