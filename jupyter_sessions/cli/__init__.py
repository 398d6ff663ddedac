"""``jupyter sessions …``: the same manager on the same store, with or without a Jupyter server.

Exit codes: 0 done; 1 the session failed; 2 wrong usage, a wrong value or a wrong configuration;
3 no such session, app or spawner; 4 not possible as things are now; 5 the store or a backend does
not work; 130 interrupted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from .parser import build_parser, split_config

if TYPE_CHECKING:
    from ..errors import SessionError

# jsonschema imports this if it is there, to check formats that nothing of ours has; it takes
# half a second, on each completion and each command.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code. The entry point ``jupyter-sessions``."""
    parser = build_parser()
    arguments, config = split_config(sys.argv[1:] if argv is None else argv)
    args = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no €
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    return _run(args, config)


def _run(args: Any, config: list[str]) -> int:
    from traitlets import TraitError

    from ..errors import InvalidRequest, SessionError
    from ..places import PlaceError
    from . import commands, output

    try:
        return asyncio.run(commands.COMMANDS[args.command](args, config))
    except SessionError as error:
        output.error(error, as_json=args.json)
        return exit_code(error)
    except (PlaceError, TraitError) as error:
        wrong = InvalidRequest(f"Configuration: {error}", reason="configuration")
        output.error(wrong, as_json=args.json)
        return exit_code(wrong)
    except KeyboardInterrupt:
        output.say(
            "Interrupted. Sessions that were started go on; `jupyter sessions list` shows them."
        )
        return 130
    except BrokenPipeError:
        # `jupyter sessions logs -f | head`: the reader has had enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def exit_code(error: SessionError) -> int:
    """The exit code for `error`, as documented above."""
    from ..errors import Conflict, InvalidRequest, NotFound

    codes = ((InvalidRequest, 2), (NotFound, 3), (Conflict, 4))
    return next((code for kind, code in codes if isinstance(error, kind)), 5)
