"""How a client of the interop cases is told what to run, and tells how it went: one line a case."""

import argparse
import sys
import traceback

CASES = {}
# The certificates, as PEM, that a server of an https URL is trusted by.
ROOTS = {}


class Cannot(Exception):
    """This peer's library cannot do all of a case; the message says what it cannot, and what was done in its place."""


def case(run):
    """Makes a case of a function of one argument, the server's URL. `all` leaves out those named `..._noprobe`: what is
    left of a case toward a server that cannot see message flags."""
    CASES[run.__name__] = run
    return run


def check(fits: bool, what: str) -> None:
    """Fails the case that `what` was expected."""
    if not fits:
        raise AssertionError(what)


def equal(found, expected, what: str) -> None:
    check(found == expected, f"{what}: expected {expected!r}, found {found!r}")


def main(description: str) -> None:
    """Runs the cases that the command line names."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--run", default="all", metavar="CASE,...|all")
    parser.add_argument("--ca", metavar="FILE")
    parser.add_argument("url")
    arguments = parser.parse_args()
    if arguments.ca:
        with open(arguments.ca, "rb") as roots:
            ROOTS["pem"] = roots.read()
    published = [name for name in CASES if not name.endswith("_noprobe")]
    names = published if arguments.run == "all" else arguments.run.split(",")
    unknown = [name for name in names if name not in CASES]
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    failures = 0
    for name in names:
        try:
            CASES[name](arguments.url)
            print(f"ok {name}", flush=True)
        except Cannot as reason:
            print(f"cannot {name}: {reason}", flush=True)
        except Exception as error:  # a case fails by whatever its library raises
            failures += 1
            traceback.print_exc()
            reason = " ".join(str(error).split()) or type(error).__name__
            print(f"failed {name}: {reason}", flush=True)
    sys.exit(1 if failures else 0)
