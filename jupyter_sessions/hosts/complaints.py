"""What OpenSSH's client says when it fails, as sentences that say what to do. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

ONCE = "run `{command}` once in a terminal"
BY_PROXY = "UNKNOWN port 65535"
"""What the client calls the other end of a jump host or a ``ProxyCommand``."""
LATE = "The login did not end in time."
"""In place of what the client says, if it was ended for that."""

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
        LATE,
        "{host} answers, but the login does not end: it may be slow there, or your agent or"
        " hardware key waits for you to confirm or touch it. See how long `{command}` takes in a"
        " terminal; `connect_timeout` of the host is half of what it may take.",
    ),
    (
        r"timed out",
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
OURS = rf"kex_exchange_identification|banner exchange|{BY_PROXY}|stdio forwarding failed"
"""What the client says itself when one that it has started has failed."""


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


def explain_route(stderr: str, host: str, jump: str, command: str) -> str:
    """Why the way to a host by others failed.

    Parameters
    ----------
    stderr
        What the client has written, and the clients that it has started.
    jump
        As after ``ProxyJump``; empty if it is a ``ProxyCommand``.
    """
    theirs = [line for line in stderr.splitlines() if not re.search(OURS, line)]
    said = "\n".join(theirs)
    if not jump:
        last = theirs[-1].strip()[:300] if theirs else "it says nothing"
        return f"On the way to {host}: its `ProxyCommand` failed ({last}). Try `{command}`."
    between = f"the jump host {jump}"
    if refused := re.search(r"open failed: (?:connect failed: )?(.*)", said):
        why = refused[1].strip()
        if "prohibited" in why:
            why += "; `AllowTcpForwarding` of its SSH server has to be `yes` or `local`"
        return f"On the way to {host}: {between} does not reach it ({why})."
    name = re.sub(r":\d+\Z", "", jump.rpartition(",")[2].rpartition("@")[2])
    why = explain(said, between, name, command)
    return f"On the way to {host}: {why[0].lower()}{why[1:]}"


def explain_agent(stderr: str, host: str, agent: str) -> str:
    """Why a login failed for which an agent has the key, or had it."""
    if "agent refused" in stderr:
        return (
            f"{host} would have taken a key of your agent, but that did not sign: it wants to ask"
            " you first (`ssh-add -c`, a key that is to be touched, a locked agent), and Jupyter"
            " has no terminal for that. Add the key without `-c`, or use another one."
        )
    return (
        f"{host} did not let you in without your agent, and that does not answer at {agent}: it"
        " has ended, or hangs. Start Jupyter anew from a shell where `ssh-add -l` shows your key,"
        " or set `IdentityAgent` in ~/.ssh/config to a path that stays."
    )


def explain_key(stderr: str, host: str, key: str, agent: str) -> str:
    """Why a login failed for which there is a key with a passphrase."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    if agent:
        remedy = f"Your agent has no keys: `ssh-add {key}`."
    else:
        remedy = (
            f"Jupyter has no agent: start one, `ssh-add {key}`, and start Jupyter from a shell"
            " that has its `SSH_AUTH_SOCK`."
        )
    return f"Your key {key} has a passphrase, and {host} asks for it ({lines[-1]}). {remedy}"
