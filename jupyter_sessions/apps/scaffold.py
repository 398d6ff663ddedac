"""A folder for a new app, to be filled in by its author: `scaffold`."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import yaml

from .app import SCHEMA, App

DEFINITION = """\
name: {name}
title: {title}
description: What it is, in one sentence.
category: Other

# The command, element by element; no shell reads it. {{socket}} is the path of a Unix socket to
# listen on. For an app that can only listen on a TCP port: {{port}}, on 127.0.0.1.
# Others: {{app_dir}} (this folder), {{base_url}} (its public path), {{cwd}}, {{state_dir}} (its
# own, kept over restarts), {{session_dir}}, {{python}} (the Python of Jupyter), and each option's
# name.
command: ["{{python}}", "{{app_dir}}/serve.py", "{{socket}}", "{{greeting}}"]

# env:
#   DEMO_MODE: "1"

# What people may choose: a JSON Schema. Each value is one argument, whatever is in it.
options:
  properties:
    greeting:
      type: string
      title: Greeting
      description: What the page says.
      default: Hello
      maxLength: 200

# Asked until it answers with one of the codes (200 to 399 if there are none).
ready:
  path: /
  timeout: 30   # seconds

# strip: it sees paths below its own URL. keep: it was told {{base_url}}, and sees whole paths.
prefix: strip

# open_path: "lab"          # where it is opened below its URL
# open_in: browser          # in a tab of the browser, and not of JupyterLab
# stop: {{ grace: 5 }}        # seconds between asking it to end and killing it
# requires:                 # what must be there, and what to do where it is not
#   - program: Rscript
#     install: Install R (https://www.r-project.org) so that Rscript is on PATH.
"""
SERVE = """\
\"\"\"A web server on a Unix socket, to be replaced by the real one.\"\"\"

import html
import socketserver
import sys
from http.server import BaseHTTPRequestHandler


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        page = f"<!doctype html><title>Demo</title><h1>{html.escape(sys.argv[2])}</h1>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def address_string(self):
        return "you"  # a Unix socket has no addresses


with socketserver.ThreadingUnixStreamServer(sys.argv[1], Handler) as server:
    server.serve_forever()
"""
ICON = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="24" height="24">
  <rect class="jp-icon3" fill="#616161" x="3" y="4" width="18" height="13" rx="2"/>
  <rect class="jp-icon3" fill="#616161" x="8" y="19" width="8" height="2" rx="1"/>
</svg>
"""
README = """\
# {title}

What it is for, and what its options mean.

Try it: `jupyter sessions apps check {name}`, then `jupyter sessions apps test {name}`.
"""


def scaffold(folder: Path, name: str, source: App | None = None) -> list[Path]:
    """Make `folder`, with an app called `name` in it; gives the files.

    Parameters
    ----------
    source
        An app to begin with: its definition, and what is in its folder if it has one.

    Raises
    ------
    FileExistsError
        If there is such a folder already. Nothing was changed.
    OSError
        If it cannot be written.
    """
    folder.mkdir(parents=True)
    title = name.replace("-", " ").capitalize()
    if source is None:
        text = DEFINITION.format(name=name, title=title)
        (folder / "serve.py").write_text(SERVE, encoding="utf-8")
    elif source.directory is not None:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source.directory, folder, dirs_exist_ok=True, ignore=ignored)
        text = (folder / "app.yaml").read_text(encoding="utf-8")
    else:
        text = yaml.safe_dump(dict(source.definition), sort_keys=False, allow_unicode=True)
    if source is not None:
        text = _renamed(text, name)
    if source is not None and source.icon is not None and source.directory is None:
        shutil.copy(source.icon, folder / f"icon{source.icon.suffix}")
    (folder / "app.yaml").write_text(_with_schema(text), encoding="utf-8")
    for file, content in (("icon.svg", ICON), ("README.md", README)):
        if not (folder / file).exists():
            filled = content.format(name=name, title=title) if file == "README.md" else content
            (folder / file).write_text(filled, encoding="utf-8")
    return sorted(p for p in folder.rglob("*") if p.is_file())


def _renamed(text: str, name: str) -> str:
    """The definition `text` with another name; all else, comments too, as it was."""
    changed, count = re.subn(r"(?m)^name:.*$", f"name: {name}", text, count=1)
    if count:
        return changed
    return f"name: {name}\n{text}"


def _with_schema(text: str) -> str:
    """`text` after the line by which editors find the schema that completes it."""
    lines = [n for n in text.splitlines() if not n.startswith("# yaml-language-server:")]
    return "\n".join([f"# yaml-language-server: $schema={SCHEMA.as_uri()}", *lines]) + "\n"
