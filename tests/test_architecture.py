"""Imports point one way, and no module is too long to read: see ``docs/architecture.md``."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import jupyter_sessions

ROOT = Path(jupyter_sessions.__file__).parent
LONGEST = 500

LAYERS = [
    {"cli", "testing", "__init__"},
    {"extension"},
    {"monitoring", "old_urls"},
    {"api", "gateway", "events", "locating"},
    {"manager"},
    {"reconcile", "forms"},
    {"requests"},
    {"steps"},
    {"polling", "forgetting"},
    {"ledger", "offers", "following", "hooks"},
    {"launching", "connections", "places", "remains", "usage", "way_check"},
    {"project_apps", "finding", "elsewhere"},
    {"ownership", "preferences", "project", "secrets", "trust"},
    {"store", "apps", "spawners", "validation", "readiness"},
    {"reaching"},
    {"record", "hosts", "options"},
    {"actions"},
    {"session", "runner", "gate", "sentences", "plain"},
    {"routes", "errors", "told", "timelimits"},
]
"""Top to bottom. A module imports from lower layers, and from its own package or layer."""
CONCRETE = {
    "spawners.process",
    "spawners.gridengine",
    "spawners.pbs",
    "spawners.slurm",
    "hosts.local",
    "hosts.ssh",
    "spawners.jupyterhub",
}
"""Found through entry points only."""
PARTS = {
    "hosts.back",
    "hosts.client",
    "hosts.complaints",
    "hosts.mux",
    "hosts.openssh",
    "hosts.remote",
    "hosts.sending",
    "spawners.cluster_queues",
    "spawners.qstat",
}
"""What concrete places of one package are made of; nobody else imports them."""
OF_BATCH = ("batch", "choices", "directives", "jobs", "script", "silence", "watch")
SHARED = {f"spawners.{m}" for m in (*OF_BATCH, "shared", "slurm_choices", "slurm_jobs")}
"""What several concrete spawners are made of."""


def modules() -> dict[str, Path]:
    """All modules of the package by name, without what apps bring along."""
    paths = {p.relative_to(ROOT).with_suffix(""): p for p in ROOT.rglob("*.py")}
    return {
        ".".join(name.parts).removesuffix(".__init__"): path
        for name, path in paths.items()
        if name.parts[:2] != ("apps", "builtin")
    }


MODULES = modules()


def imports(name: str, *, at_load: bool = False) -> set[str]:
    """The modules that `name` imports: those of the package by their name in it, with a dot before.

    Parameters
    ----------
    at_load
        Whether to leave out what functions import.
    """
    path, found = MODULES[name], set()
    package = list(path.relative_to(ROOT).parent.parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if at_load else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            found |= {n.replace("jupyter_sessions", "", 1) for n in names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            within = [*base, *((node.module or "").split(".") if node.module else [])]
            if node.level == 0 and within[0] != "jupyter_sessions":
                found.add(".".join(within))
                continue
            module = ".".join(within if node.level else within[1:])
            below = {f"{module}.{a.name}".lstrip(".") for a in node.names} & MODULES.keys()
            found |= {f".{m}" for m in below or {module} - {""}}  # "": the version
    return found


def own(name: str) -> set[str]:
    return {m.removeprefix(".") for m in imports(name) if m.startswith(".")}


def layer(name: str) -> int:
    found = [n for n, names in enumerate(LAYERS) if name in names or name.split(".")[0] in names]
    assert len(found) == 1, f"{name} has to be put into one layer here and in the architecture"
    return found[0]


@pytest.mark.parametrize("name", sorted(MODULES.keys() - {"spawners", "hosts"}))
def test_imports_point_down(name: str) -> None:
    for other in own(name):
        same_package = name.split(".")[0] == other.split(".")[0]
        assert same_package or layer(other) > layer(name), other


@pytest.mark.parametrize("name", [m for m in sorted(MODULES) if m.startswith("gateway")])
def test_the_gateway_knows_routes_and_errors_only(name: str) -> None:
    assert {m for m in own(name) if not m.startswith("gateway")} <= {"routes", "errors"}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_nobody_imports_a_concrete_place(name: str) -> None:
    assert not own(name) & CONCRETE
    assert all(part.split(".")[0] == name.split(".")[0] for part in own(name) & PARTS)


def test_concrete_places_are_all_named_here() -> None:
    packages = ("spawners.", "hosts.")
    places = {m for m in MODULES if m.startswith(packages) and not m.endswith(".base")}
    assert places - PARTS - SHARED == CONCRETE


SENT = [m for m in sorted(MODULES) if m.split(".")[0] in ("runner", "gate")]
"""What is sent to other machines, and runs there by itself."""


@pytest.mark.parametrize("name", SENT)
def test_what_is_sent_is_on_its_own(name: str) -> None:
    package = name.split(".")[0]
    others = {m for m in imports(name) if m.removeprefix(".").split(".")[0] != package}
    beside = {"runner.program": {"gate.serving"}, "runner.__main__": {"runner.program"}}
    assert others - beside.get(name, set()) <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("name", SENT)
def test_what_is_sent_is_python_3_6(name: str) -> None:
    ast.parse(MODULES[name].read_text(encoding="utf-8"), feature_version=(3, 6))
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= 400


def test_the_far_end_of_ssh_needs_the_runner_alone() -> None:
    assert imports("hosts.remote") - {".runner", "runner"} <= set(sys.stdlib_module_names)


def test_no_module_goes_round_in_a_circle() -> None:
    after = {
        m: {i.removeprefix(".") for i in imports(m, at_load=True) if i[0] == "."} for m in MODULES
    }
    while leaves := {m for m, needs in after.items() if not needs & after.keys()}:
        after = {m: needs for m, needs in after.items() if m not in leaves}
    assert not after


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_module_is_too_long_to_read(name: str) -> None:
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= LONGEST
