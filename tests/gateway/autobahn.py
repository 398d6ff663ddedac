"""Autobahn's websocket test suite as a client, which exists for Python 2.7 only."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

# 25.10.1 is the same code without its dependencies.
PACKAGE = "autobahntestsuite==0.8.2"
_RUN = """
import site, sys
sys.path.insert(0, sys.argv[1])
site.addsitedir(sys.argv.pop(1))
from autobahntestsuite.wstest import run
run()
"""

Results = dict[str, tuple[str, str, int | None]]
"""By case: how it went, how it closed, and with which code."""

# The difference between the two is whether a message is echoed before the error behind it is found,
# which depends on how many bytes the server gets at once: TCP promises nothing about that.
_PASSED = {"OK": "passed", "NON-STRICT": "passed"}


def python2() -> str | None:
    """A Python 2.7, if this machine has one."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [shutil.which("python2.7"), *map(str, pyenv.glob("versions/2.7.*/bin/python"))]
    for path in found:
        if path and subprocess.run([path, "--version"], capture_output=True).returncode == 0:
            return path
    return None


@dataclass(frozen=True)
class Autobahn:
    python: str
    packages: Path

    @classmethod
    def install(cls, python: str) -> Autobahn:
        """Fetch it once for this user."""
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        packages = cache / "jupyter_sessions" / PACKAGE.replace("==", "-")
        if not packages.exists():
            fresh = packages.with_suffix(f".{os.getpid()}")
            subprocess.run(
                [python, "-m", "pip", "install", "-q", "--target", fresh, PACKAGE, "setuptools<45"],
                check=True, capture_output=True,
            )  # fmt: skip
            fresh.rename(packages)
        return cls(python, packages)

    async def run(
        self, folder: Path, urls: dict[str, str], without: list[str]
    ) -> dict[str, Results]:
        """Run the cases against each of `urls`; the results by its name."""
        spec = folder / "spec.json"
        servers = [{"agent": name, "url": url} for name, url in urls.items()]
        content: dict[str, object] = {
            "outdir": str(folder / "out"),
            "servers": servers,
            "cases": ["*"],
        }
        content |= {"exclude-cases": without, "exclude-agent-cases": {}}
        spec.write_text(json.dumps(content))
        process = await asyncio.create_subprocess_exec(
            self.python, "-B", "-c", _RUN, self.packages, "-m", "fuzzingclient", "-s", spec,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            _, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode == 0, errors.decode()
        index = json.loads((folder / "out" / "index.json").read_text())
        return {
            name: {
                case: (
                    _PASSED.get(result["behavior"], result["behavior"]),
                    result["behaviorClose"],
                    result["remoteCloseCode"],
                )
                for case, result in index[name].items()
            }
            for name in urls
        }
