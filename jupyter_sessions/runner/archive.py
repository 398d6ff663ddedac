"""The runner and its gate as one file: for machines that see nothing else of ours."""

import io
import os
from typing import Dict

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGES = ("runner", "gate")
# zipimport itself compiles each module twice, from Python 3.8 on: that doubled the time to start.
MAIN = b"""\
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import spec_from_file_location


class Loader(SourceFileLoader):
    def get_data(self, path):
        return __loader__.get_data(path)

    def path_stats(self, path):
        raise OSError("nothing is cached")


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] not in ("runner", "gate"):
            return None
        base = "/".join([sys.path[0]] + name.split("."))
        for path in (base + ".py", base + "/__init__.py"):
            try:
                __loader__.get_data(path)
            except OSError:
                continue
            return spec_from_file_location(name, path, loader=Loader(name, path))


sys.meta_path.insert(0, Finder)
from runner.program import main

sys.exit(main(sys.argv[1:]))
"""


def is_packed() -> bool:
    """Whether this is in such a file itself."""
    return not os.path.isdir(HERE)


PROGRAM = os.path.dirname(HERE) if is_packed() else os.path.join(HERE, "__main__.py")
"""What Python has to run to be this runner."""


def sources() -> Dict[str, bytes]:
    """The files of the runner and the gate, by their names in one folder. Raises OSError."""
    found = {}
    for package in PACKAGES:
        folder = os.path.join(os.path.dirname(HERE), package)
        for name in sorted(os.listdir(folder)):
            if name.endswith(".py"):
                with open(os.path.join(folder, name), "rb") as file:
                    found[f"{package}/{name}"] = file.read()
    return found


def packed() -> bytes:
    """What to put into that file: of the same sources always the same bytes. Raises OSError."""
    if is_packed():
        with open(PROGRAM, "rb") as file:
            return file.read()
    import zipfile  # rarely needed, and slow to load

    buffer = io.BytesIO()
    # Not compressed: then a Python without zlib runs it, too.
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in [("__main__.py", MAIN), *sources().items()]:
            entry = zipfile.ZipInfo(name)  # its date is 1980
            entry.external_attr = 0o600 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()
