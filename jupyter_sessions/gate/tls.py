"""Who may come in."""

import os
import ssl
from asyncio import sslproto

NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME
READ_SIZE = 64 * 1024  # bytes that a connection is read in


def small_buffers() -> None:
    """Take less memory for each TLS connection: since Python 3.11 it has 256 KiB to read into."""
    if hasattr(sslproto.SSLProtocol, "max_size"):
        sslproto.SSLProtocol.max_size = READ_SIZE


def tls_context(directory: str, me: str, other: str, server: bool) -> ssl.SSLContext:
    """For connections between `me` and `other` (``gate``, ``reach``) alone.

    Raises OSError if a file is missing; ssl.SSLError, which is one, if it makes no sense.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the certificate itself is what is known
    context.verify_mode = ssl.CERT_REQUIRED
    if hasattr(ssl, "TLSVersion"):  # Python 3.7
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    else:
        context.options |= ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1
    context.verify_flags |= NO_CHECK_TIME
    if server and hasattr(context, "num_tickets"):  # Python 3.8
        context.num_tickets = 0  # nobody resumes: links are kept instead
    context.load_cert_chain(os.path.join(directory, me + ".pem"))
    context.load_verify_locations(os.path.join(directory, other + ".crt"))
    return context


def certificate(directory: str, other: str) -> bytes:
    """The only certificate that `other` may show."""
    with open(os.path.join(directory, other + ".crt")) as file:
        return ssl.PEM_cert_to_DER_cert(file.read())
