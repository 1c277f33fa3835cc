"""A port that nobody else is given, for a server that is told its port."""

import socket


def held_port() -> tuple[socket.socket, int]:
    """
    A port of this machine, and the socket that holds it: whoever asks the system for any port is not given this one,
    and a server that is told it may listen there. Until one does, connections are refused.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder, holder.getsockname()[1]
