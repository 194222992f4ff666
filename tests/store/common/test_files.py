"""What the operating system refuses is told by the name that a user knows."""

import errno
from pathlib import Path

from head2toe.store.common.files import in_words, partial_name


def test_what_the_system_refuses_is_told_by_the_name_that_a_user_knows(tmp_path: Path) -> None:
    unfinished = partial_name(tmp_path / "page.html")
    message = in_words(PermissionError(errno.EACCES, "Permission denied", str(unfinished)))
    assert message == f"{tmp_path / 'page.html'}: permission denied: ask for access, or name another file or folder"
    assert in_words(OSError("no number")) == "no number"
    missing = in_words(FileNotFoundError(errno.ENOENT, "No such file or directory", "page.html"))
    assert missing == "page.html: no such file or folder", "which is no store"
    inside = partial_name(tmp_path / "model") / "head.safetensors"
    message = in_words(OSError(errno.EFBIG, "File too large", str(inside)))
    assert message.startswith(f"{tmp_path / 'model' / 'head.safetensors'}: the file would be larger")
