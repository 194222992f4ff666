"""A signal ends a command in one line and 128 + its number, wherever it comes; a user's program keeps its handlers."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from head2toe.store.console.interrupts import MESSAGE, Interrupted, raised

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def nothing_is_ignored() -> Iterator[None]:
    """As in a terminal, also where the tests run under `nohup`: what is ignored there is ignored by every child."""
    before = {number: signal.getsignal(number) for number in ENDING}
    for number in ENDING:
        if before[number] is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run_program(text: str) -> tuple[int, str]:
    process = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False)
    return process.returncode, process.stderr


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_during_the_imports_is_one_line(number: int) -> None:
    imports = "import sys; sys.argv[0] = '/usr/bin/head2toe'; import head2toe.store.console.interrupts, os, time"
    code, message = run_program(f"{imports}; os.kill(os.getpid(), {int(number)}); time.sleep(10)")
    assert (code, message) == (128 + number, f"{MESSAGE}\n")


def test_a_command_that_is_done_keeps_its_exit_code() -> None:
    """Python frees modules after it has taken its handlers away: a second or more on a machine that is busy."""
    code, message = run_program(
        "import sys, os, signal; sys.argv[0] = '/usr/bin/head2toe'; import head2toe.store.console.interrupts\n"
        "class Late:\n"
        "    def __del__(self, kill=os.kill, pid=os.getpid(), write=os.write):\n"
        "        kill(pid, 2); write(2, b'freed')\n"
        "late = Late()"
    )
    assert (code, message) == (0, "freed")


def test_a_program_that_imports_the_package_keeps_its_handlers() -> None:
    numbers = [int(number) for number in ENDING]
    handlers = f"[signal.getsignal(number) for number in {numbers}]"
    code, message = run_program(
        f"import signal; before = {handlers}; import head2toe.pipeline; assert before == {handlers}"
    )
    assert (code, message) == (0, "")


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_is_raised_where_a_command_works(number: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as interrupt, raised():
        signal.raise_signal(number)
    assert (interrupt.value.number, interrupt.value.exit_code) == (number, 128 + number)
    assert isinstance(interrupt.value, KeyboardInterrupt)
    assert signal.getsignal(number) is before


def test_a_signal_that_became_another_error_is_still_one() -> None:
    def fail_to_import() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt as error:
            raise ImportError("initialisation failed") from error

    with pytest.raises(Interrupted), raised():
        fail_to_import()
    with pytest.raises(ImportError), raised():
        raise ImportError("with no signal")


def test_a_signal_that_a_destructor_swallows_comes_again() -> None:
    class Fragile:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)
            time.sleep(0)

    def work() -> None:
        Fragile()
        time.sleep(20)

    started = time.monotonic()
    with pytest.raises(Interrupted), raised():
        work()
    assert time.monotonic() - started < 10


def test_signals_in_a_row_are_one() -> None:
    cleaned = []

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleaned.append(True)

    with pytest.raises(Interrupted), raised():
        work()
    assert cleaned


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with raised():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_changes_nothing() -> None:
    before = [signal.getsignal(number) for number in ENDING]
    inside: list[object] = []

    def work() -> None:
        with raised():
            inside.extend(signal.getsignal(number) for number in ENDING)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == before


def test_an_impatient_user_gets_out_at_once() -> None:
    stuck = "import os, signal, time\nfrom head2toe.store.console.interrupts import raised\n"
    stuck += "with raised():\n    try:\n        signal.raise_signal(2)\n    finally:\n"
    stuck += "        time.sleep(1.2)\n        os.kill(os.getpid(), 2)\n        time.sleep(20)\n"
    assert run_program(stuck) == (130, f"{MESSAGE}\n")
