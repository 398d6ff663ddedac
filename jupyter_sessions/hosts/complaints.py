"""What OpenSSH's client says when it fails, as sentences that say what to do. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

ONCE = "run `{command}` once in a terminal"

SENTENCES: Sequence[tuple[str, str]] = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|host key for .* has changed",
        "The key of {host} has changed since you last used it: it was set up anew, or somebody"
        " stands between. Ask its administrator; if it is right, `ssh-keygen -R {address}`, then"
        " " + ONCE + ".",
    ),
    (
        r"Host key verification failed|key is not known|authenticity of host",
        "The key of {host} is not known yet: " + ONCE + ", compare the fingerprint, and accept it.",
    ),
    (
        r"Too many authentication failures",
        "{host} refused the login after too many keys: name the right one with `IdentityFile` and"
        " `IdentitiesOnly yes` in ~/.ssh/config.",
    ),
    (
        r"bad permissions|UNPROTECTED PRIVATE KEY|Bad owner or permissions",
        "OpenSSH does not use a file that others may read: {last}",
    ),
    (
        r"Permission denied",
        "{host} does not let you in without a password, passphrase or second factor ({last})."
        " Use a key that needs none of them here: put it on {address} with `ssh-copy-id`, add it"
        " to your agent with `ssh-add`, or " + ONCE + " to see what it asks for.",
    ),
    (
        r"Could not resolve hostname",
        "There is no host {address}: check its name, in ~/.ssh/config or in the configuration.",
    ),
    (
        r"Connection refused",
        "{host} refuses connections: no SSH server listens there, or on another port.",
    ),
    (
        r"timed out|did not answer",
        "{host} does not answer: it is down, or a firewall or a missing VPN is in the way.",
    ),
    (
        r"No route to host|[Nn]etwork is unreachable",
        "There is no way to {host} from this machine: is the network, or the VPN, up?",
    ),
    (
        r"kex_exchange_identification|Connection (closed|reset) by|banner exchange",
        "{host} closed the connection before the login: it has too many, or does not let this"
        " machine in.",
    ),
    (
        r"Bad configuration option|Unsupported option|keyword|command-line line|: line \d+",
        "An SSH option is wrong: {last}",
    ),
    (r"no matching .* found", "This OpenSSH and that of {host} share no algorithm: {last}"),
)
"""What to look for, in this order, and what to say then."""


def explain(stderr: str, host: str, address: str, command: str) -> str:
    """Why there is no connection, and the remedy.

    Parameters
    ----------
    stderr
        What the client has written.
    host
        The name that people know the host by.
    address
        What it is called for ``ssh``.
    command
        The command that connects to it in a terminal.
    """
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    last = lines[-1][:300] if lines else "it says nothing"
    for pattern, sentence in SENTENCES:
        if re.search(pattern, stderr):
            return sentence.format(host=host, address=address, command=command, last=last)
    return f"There is no connection to {host}: {last}"
