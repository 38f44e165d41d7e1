"""Servers that take a question and hold the answer back, so that a task stays where it is until it is cancelled."""

import socket
import threading


class Held:
    """Listens on a port of loopback, any free one if none is named; accepts, reads, and never answers."""

    def __init__(self, port=0):
        self._listener = socket.create_server(("127.0.0.1", port))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        self._asked = threading.Event()
        self._gone = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def asked(self, seconds):
        """Waits until somebody has asked."""
        return self._asked.wait(seconds)

    def gone(self, seconds):
        """Waits until somebody who had asked has hung up."""
        return self._gone.wait(seconds)

    def close(self):
        self._listener.close()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._hold, args=(connection,), daemon=True).start()

    def _hold(self, connection):
        with connection:
            try:
                while connection.recv(4096):
                    self._asked.set()
            except OSError:
                pass
            self._gone.set()
