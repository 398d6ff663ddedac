"""The stop hook: says that it ran."""

import pathlib
import sys

pathlib.Path(sys.argv[1], "hook-ran").touch()
