"""Forwards TCP connections from one address to another of the same port; for both ends of a cable between namespaces.

usage: python -m tests.faults.relay FROM TO PORT …        prints ``ready`` and runs until it is killed
"""

import contextlib
import socket
import sys
import threading


def pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):  # either side ended: so does the other
        while piece := source.recv(65_536):
            sink.sendall(piece)
    for link in (source, sink):
        with contextlib.suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)


def serve(listener: socket.socket, target: tuple[str, int]) -> None:
    while True:
        near, _ = listener.accept()
        threading.Thread(target=connect, args=(near, target), daemon=True).start()


def connect(near: socket.socket, target: tuple[str, int]) -> None:
    """The far side may take for ever to answer: that is what a cut network looks like."""
    try:
        far = socket.create_connection(target)
    except OSError:
        near.close()
        return
    threading.Thread(target=pump, args=(near, far), daemon=True).start()
    pump(far, near)


if __name__ == "__main__":
    here, there, *ports = sys.argv[1:]
    for port in map(int, ports):
        door = socket.create_server((here, port))
        threading.Thread(target=serve, args=(door, (there, port)), daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    threading.Event().wait()
