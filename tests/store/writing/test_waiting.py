"""Who waits for another writer says so, and for whom."""

import os
import socket
from types import SimpleNamespace

import pytest
from head2toe.store.format.layout import lock_file
from head2toe.store.reading.store_lock import holder
from head2toe.store.writing import waiting


def test_a_line_from_time_to_time(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now.seconds)
    monkeypatch.setattr(waiting.time, "sleep", lambda seconds: setattr(now, "seconds", now.seconds + seconds))
    wait = waiting.Waiting()
    for _ in range(280):  # 140 seconds
        wait.pause(0.5, lambda: f"it, after {now.seconds:.0f} s")
    assert capsys.readouterr().err.splitlines() == [f"waiting for it, after {at} s" for at in (5, 65, 125)]


def test_the_lock_of_a_block_says_whose_it_is(toy: SimpleNamespace) -> None:
    images = [toy.image(i) for i in range(8)]
    one, two = (
        toy.catalogue.writer(toy.identity(), images, toy.layers, format=toy.format, rows_per_block=4) for _ in "ab"
    )
    with one.claim(1):
        assert two.claim(1) is None
        assert f"row block 1 of store {one.key[:12]}, which process {os.getpid()} of " in two.others()
        assert socket.gethostname() in two.others()
    lock_file(two.path, 1).write_bytes(b"\x1b[31mred\xff\n" * 100)  # whatever it says reaches the terminal as text
    assert "\x1b" not in two.others()
    assert len(holder(lock_file(two.path, 1))) <= 200
    assert "another process" in holder(two.path / "lock" / "nowhere")
