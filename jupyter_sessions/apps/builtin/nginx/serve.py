"""Run nginx for one folder, on a Unix socket, as the user who starts it. Standard library only.

nginx reads `$` in its configuration as a variable, and nothing takes that away. So what people
choose never stands in it: the folder is a symbolic link beside it, and all other paths are
relative, apart from the socket's.
"""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import sys
from pathlib import Path

TYPES = ("/etc/nginx/mime.types", "/usr/local/etc/nginx/mime.types", "/opt/nginx/conf/mime.types")
"""Where nginx's table of media types may be."""

PAGES = {
    # The page may use the styles, pictures and fonts beside it, but nothing acts.
    "static": (
        "sandbox allow-same-origin allow-popups allow-downloads; default-src 'none'; "
        "img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
        "media-src 'self' data: blob:; frame-src 'self'; form-action 'none'; base-uri 'self'"
    ),
    "trusted": "",
}

CONFIGURATION = """\
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
{user}
events {{ worker_connections 512; }}
http {{
  {types}
  default_type application/octet-stream;
  access_log off;
  client_body_temp_path tmp-body;
  proxy_temp_path tmp-proxy;
  fastcgi_temp_path tmp-fastcgi;
  uwsgi_temp_path tmp-uwsgi;
  scgi_temp_path tmp-scgi;
  sendfile on;
  charset utf-8;
  server_tokens off;
  # The prefix is not ours to know: redirects are paths, to which it is added on the way.
  absolute_redirect off;
  gzip on;
  gzip_types text/css text/plain application/javascript application/json image/svg+xml;
  server {{
    listen "unix:{socket}";
    root root;
    index index.html index.htm;
    add_header X-Content-Type-Options nosniff always;
    add_header Cache-Control no-cache always;
    {policy}
    location = /.session-ready {{ return 204; }}
    {hidden}
    location / {{ {listing} {fallback} }}
  }}
}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a folder by nginx on a Unix socket.")
    parser.add_argument("--socket", required=True)
    parser.add_argument("--directory", required=True, type=Path, help="private, for our files")
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--pages", choices=list(PAGES), default="static")
    for name in ("listing", "hidden", "fallback"):
        parser.add_argument(f"--{name}", choices=["true", "false"], default="false")
    given = parser.parse_args()

    folder = given.folder.expanduser()
    if not folder.is_dir():
        sys.exit(f"{folder} is not a folder.")
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if nginx is None:
        sys.exit("nginx is not installed.")
    if any(c in given.socket for c in '"\\$\n'):
        sys.exit(f"nginx cannot listen at {given.socket}: its path has characters it reads itself.")

    prefix = given.directory / "nginx"
    prefix.mkdir(mode=0o700, exist_ok=True)
    link = prefix / "root"
    link.unlink(missing_ok=True)
    link.symlink_to(folder.resolve())
    (prefix / "nginx.conf").write_text(configuration(given))
    Path(given.socket).unlink(missing_ok=True)
    # -e: or it complains about the system's log before it has read the configuration.
    os.execv(nginx, [nginx, "-p", f"{prefix}/", "-c", "nginx.conf", "-e", "stderr"])  # noqa: S606


def configuration(given: argparse.Namespace) -> str:
    """The text of ``nginx.conf``."""
    types = next((path for path in TYPES if Path(path).is_file()), None)
    policy = PAGES[given.pages]
    return CONFIGURATION.format(
        # Otherwise root's nginx would serve as nobody, who cannot read root's files.
        user=f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else "",
        types=f"include {types};" if types else "",
        socket=given.socket,
        policy=f'add_header Content-Security-Policy "{policy}" always;' if policy else "",
        hidden="" if given.hidden == "true" else r"location ~ /\. { return 404; }",
        listing="autoindex on;" if given.listing == "true" else "",
        fallback="try_files $uri $uri/ /index.html;" if given.fallback == "true" else "",
    )


if __name__ == "__main__":
    main()
