"""``python -I -S jupyter_sessions/runner/__main__.py VERB``: the runner as `program` has it."""

import os
import sys

if __name__ == "__main__":
    # At the end: of what is beside our folder, nothing may stand in for the standard library.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from runner.program import main  # type: ignore[import-not-found,unused-ignore]

    sys.exit(main(sys.argv[1:]))
