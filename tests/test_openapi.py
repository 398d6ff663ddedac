"""``openapi.yaml`` and the handlers say the same, as a machine that knows only the former finds."""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jupyter_server.serverapp import ServerApp

from .conftest import Api
from .endpoints import endpoints
from .helpers import API, DOCUMENT
from .live import Commands, Home, LiveServer


def test_the_document_is_openapi() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


async def test_every_url_is_documented_and_every_documented_one_exists(
    api: Api, jp_serverapp: ServerApp
) -> None:
    exist = {
        (f"/{url.template}", method)
        for url in endpoints(jp_serverapp.web_app)
        for method in url.methods
        if method != "OPTIONS"  # Jupyter's own, for CORS
    }
    documented = {
        (path, method.upper())
        for path, item in DOCUMENT["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert exist == documented


SETTINGS = """
# Names, options and the sum of two limits have rules that no schema says: 400 is right there.
[[operations]]
include-operation-id = [
  "createSession", "editSession", "extendSession", "getForm", "savePreset", "deletePreset"
]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404", "409"]
"""


def narrowed(session_id: str, doomed: str) -> dict[str, Any]:
    """The document with values that the server of this test knows, so that calls get somewhere."""
    document = copy.deepcopy(DOCUMENT)
    start = document["paths"]["/sessions"]["post"]["requestBody"]["content"]["application/json"]
    fields = start["schema"]["properties"]
    fields["app"] = {"enum": ["files"]}
    fields["spawner"] = {"enum": ["local", None]}
    fields["cwd"] = {"enum": ["", ".", None]}
    fields["file"] = {"enum": ["", "server.log", "nosuch", None]}
    fields["resources"] = {"properties": {"priority": {"type": "string"}}}
    fields["options"]["additionalProperties"] = False
    fields["options"]["properties"] = {"hidden": {"type": "boolean"}}
    parameters = document["components"]["parameters"]
    parameters["AppName"]["schema"] = {"enum": ["files", "nosuch"]}
    parameters["SessionId"]["schema"] = {"enum": [session_id, "nosuch"]}
    mortal = parameters["SessionId"] | {"schema": {"enum": [doomed, "nosuch"]}}
    document["paths"]["/sessions/{id}"]["delete"]["parameters"] = [mortal]
    return document


@pytest.mark.real  # half a minute
@pytest.mark.timeout(300)
def test_schemathesis_finds_no_answer_that_is_not_documented(
    home: Home, live_server: LiveServer, cli: Commands, tmp_path: Path
) -> None:
    one, other = (cli.start("files", "--timeout", "1h")["id"] for _ in range(2))
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(narrowed(one, other)))
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    command = ["schemathesis", "run", str(document), "--url", f"{live_server.url}{API}"]
    command += ["--header", f"Authorization: token {live_server.token}", "--checks", "all"]
    command += ["--max-examples", "15", "--seed", "1", "--phases", "examples,coverage,fuzzing"]
    done = subprocess.run(
        [*command, "--no-color"],
        env=home.environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in (home.path / "server.log").read_text()
