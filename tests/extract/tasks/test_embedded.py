"""The tasks that need no files."""

from head2toe.extract.tasks.registry import load_task


def test_digits_is_a_thousand_rows_and_the_rest() -> None:
    task = load_task("digits")
    assert (task.n_train, len(task.test_labels), len(task.classes)) == (1000, 797, 10)
    assert len({image.digest() for image in task.images}) == 1797
    assert task.images[0].load().mode == "RGB"
