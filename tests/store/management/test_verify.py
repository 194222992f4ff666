"""Verifying reads every byte and says how far it is."""

from types import SimpleNamespace

from head2toe.store.management.verify import verify


def test_verify_reports_progress(toy: SimpleNamespace) -> None:
    store = toy.write(10)
    seen: list[tuple[int, int]] = []
    verification = verify(store.path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (verification.nbytes, verification.nbytes)
    assert verification.nbytes >= store.nbytes
