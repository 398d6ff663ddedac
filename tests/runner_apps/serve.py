"""Answers every connection with "hello": ``serve.py socket PATH | fd NUMBER | port NUMBER``."""

import socket
import sys

kind, value = sys.argv[1:]
if kind == "socket":
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(value)
    listener.listen()
elif kind == "fd":
    listener = socket.socket(fileno=int(value))
else:
    listener = socket.create_server(("127.0.0.1", int(value)))
while True:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(b"hello")
