"""Where JupyterLab looks for the front end, for wheels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILT = Path("jupyter_sessions/labextension")
PLACE = "share/jupyter/labextensions/jupyter-sessions"


class LabExtensionHook(BuildHookInterface[Any]):
    """Adds the built front end to a wheel's shared data.

    Not to that of an editable one: there, JupyterLab finds the very folder that is built into
    (``scripts/setup-lab.sh``), and copies would go stale.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or version == "editable":
            return
        if any(Path(self.root, BUILT, "static").glob("*.map")):
            raise RuntimeError(f"{BUILT} is a build for development: run `make lab` first")
        # Not build_log.json: it names folders of the machine that built it.
        for part in ("package.json", "schemas", "static"):
            source = Path(self.root, BUILT, part)
            if not source.exists():
                raise FileNotFoundError(f"{source}: the front end has not been built")
            build_data["shared_data"][str(source)] = f"{PLACE}/{part}"
        install = Path(self.root, "labextension/install.json")
        build_data["shared_data"][str(install)] = f"{PLACE}/install.json"
