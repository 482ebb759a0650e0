"""Child processes and what they say: waited for are a line, a message or an exit, never a time."""

import os
import pathlib
import signal
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[3]
# How long a wait may take on a busy machine before it counts as a failure.
PATIENCE_SECONDS = 20
EXIT_SECONDS = 15


def place(name: str) -> str:
    """Where `cargo xtask e2e` says that something is."""
    if name not in os.environ:
        sys.exit(f"{name} is not set: start these tests with `cargo xtask e2e`")
    return os.environ[name]


class Inbox:
    """Values in the order in which they came, to be taken one at a time."""

    def __init__(self) -> None:
        self.values = []
        self.changed = threading.Condition()

    def put(self, value) -> None:
        with self.changed:
            self.values.append(value)
            self.changed.notify_all()

    def take(self, what="a message", fits=lambda value: True, until=lambda: False, patience=PATIENCE_SECONDS):
        """The first value that fits. `until` says that no more will come."""

        def found():
            return until() or any(fits(value) for value in self.values)

        with self.changed:
            self.changed.wait_for(found, patience)
            for at, value in enumerate(self.values):
                if fits(value):
                    return self.values.pop(at)
            raise AssertionError(f"waited for {what}; there is {self.values}")


class Program:
    """A child process and the lines of its standard output."""

    def __init__(self, *command: str) -> None:
        self.name = pathlib.Path(command[0]).name
        self.ended = False
        self.lines = Inbox()
        self.errors = []
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, daemon=True).start()
        self.error_reader = threading.Thread(target=lambda: self.errors.extend(self.child.stderr), daemon=True)
        self.error_reader.start()

    def _read(self) -> None:
        for line in self.child.stdout:
            self.lines.put(line.rstrip("\n"))
        with self.lines.changed:
            self.ended = True
            self.lines.changed.notify_all()

    def line(self, what: str, fits) -> str:
        try:
            return self.lines.take(f"{what} of {self.name}", fits, until=lambda: self.ended)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{''.join(self.errors)}") from None

    def stop(self, how=signal.SIGTERM) -> int:
        """Ends it as an operator would, and gives its exit code. All that it said is there then."""
        self.child.send_signal(how)
        try:
            code = self.child.wait(EXIT_SECONDS)
            self.error_reader.join(EXIT_SECONDS)
            return code
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise AssertionError(f"{self.name} did not end within {EXIT_SECONDS} s of {how.name}") from None
