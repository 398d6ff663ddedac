"""Where a node can be reached."""

import contextlib
import fcntl
import ipaddress
import socket
import struct
from typing import List, Tuple


class GateError(Exception):
    """The way cannot be opened. The message is a sentence for people."""


def own_addresses() -> List[Tuple[str, str]]:
    """The network interfaces of this machine and their IPv4 addresses."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # it has none
                request = struct.pack("256s", name.encode()[:15])
                answer = fcntl.ioctl(asking.fileno(), 0x8915, request)  # SIOCGIFADDR
                found.append((name, socket.inet_ntoa(answer[20:24])))
    return found


def own_address(wanted: str) -> str:
    """The address of this node on the network that Jupyter's side can reach.

    Parameters
    ----------
    wanted
        An interface (``ib0``), a network (``10.1.0.0/16``) or an address; empty for what the
        node's own name means here, else the way out of here, else the first there is.
    """
    addresses = own_addresses()
    others = [address for _, address in addresses if not address.startswith("127.")]
    if wanted:
        try:
            network = ipaddress.ip_network(wanted, strict=False)
        except ValueError:
            fitting = [address for name, address in addresses if name == wanted]
        else:
            fitting = [a for _, a in addresses if ipaddress.ip_address(a) in network]
        if not fitting:
            there = ", ".join("{} ({})".format(*found) for found in addresses)
            raise GateError(f"This node has no network interface {wanted!r}, only {there}.")
        return fitting[0]
    with contextlib.suppress(OSError):
        named = socket.gethostbyname(socket.gethostname())
        if named in others:
            return named
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("192.0.2.1", 9))  # nothing is sent
        outward = str(asking.getsockname()[0])
        if outward in others:
            return outward
    if not others:
        raise GateError("This node has no address but its loopback's.")
    return others[0]
