"""Save and delete presets of one app, as one of several servers would: ROOT, NAME, HOW MANY."""

from __future__ import annotations

import sys
from pathlib import Path

from jupyter_sessions.preferences import Preferences

root, name, count = sys.argv[1:]
preferences = Preferences(Path(root))
for number in range(int(count)):
    preferences.save_preset("demo", f"{name}-{number}", {"options": {"n": number}})
    preferences.save_preset("demo", f"{name}-gone", {})
    preferences.delete_preset("demo", f"{name}-gone")
