"""The command line of the example `interop`: what others drive it by."""

import socket
import subprocess
import unittest

from harness import PATIENCE_SECONDS, Program, place


def run(*arguments: str) -> tuple:
    """Lines of the standard output, and the exit code."""
    command = [place("HEADWATER_INTEROP"), *arguments]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=PATIENCE_SECONDS, check=False)
    return ended.stdout.splitlines(), ended.returncode


class Interop(unittest.TestCase):
    def test_one_call_is_made_to_each_url_that_is_listened_on(self):
        server = Program(place("HEADWATER_INTEROP"), "--listen", "http://127.0.0.1:0", "http://127.0.0.1:0")
        self.addCleanup(server.child.kill)
        server.line("ready", lambda line: line == "ready")
        urls = [line.split()[1] for line in server.lines.values if line.startswith("listening ")]
        self.assertEqual(len(set(urls)), 2)
        for url in urls:
            self.assertEqual(run("--call-unary", url), (["status OK"], 0))
        self.assertEqual(server.stop(), 0)

    def test_a_call_that_fails_is_one_line_with_the_name_of_its_status(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            self.fails(f"http://127.0.0.1:{port}", "DEADLINE_EXCEEDED")
        self.fails(f"http://127.0.0.1:{port}", "UNAVAILABLE")
        self.fails("gopher://127.0.0.1", "INVALID_ARGUMENT")

    def fails(self, url: str, code: str) -> None:
        lines, exit_code = run("--call-unary", url)
        self.assertEqual((len(lines), exit_code), (1, 1), lines)
        self.assertEqual(lines[0].split()[:2], ["status", code], lines)

    def test_a_case_that_fails_is_told_with_its_reason(self):
        with socket.create_server(("127.0.0.1", 0)) as gone:
            url = f"http://127.0.0.1:{gone.getsockname()[1]}"
        lines, exit_code = run("--run", "empty_unary,nonsense", url)
        self.assertEqual(([line.split(":")[0] for line in lines], exit_code), (["failed empty_unary", "failed nonsense"], 1))


if __name__ == "__main__":
    unittest.main()
