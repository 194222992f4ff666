"""The precision of a backbone: names that keys keep, TF32 off unless asked for, and global state as it was found."""

from collections.abc import Iterator

import pytest
import torch
from head2toe.extract.features.precision import FLOAT32, Precision, amp_note

CPU, CUDA = torch.device("cpu"), torch.device("cuda")

NAMES = {
    "float32": Precision("cpu"),
    "amp, cpu": Precision.of("cpu", amp=True),
    "amp, cuda": Precision.of("cuda", amp=True),
    "amp, cuda, bfloat16": Precision.of("cuda", amp="bfloat16"),
    "amp, cpu, float16": Precision.of("cpu", amp="float16"),
    "tf32, cuda": Precision.of("cuda", tf32=True),
    "amp, cuda, tf32": Precision.of("cuda", amp=True, tf32=True),
    "amp, cuda, bfloat16, tf32": Precision.of("cuda", amp="bfloat16", tf32=True),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_says_all_of_a_precision(name: str) -> None:
    assert NAMES[name].name == name
    assert Precision.named(name) == NAMES[name]


def test_names_of_before_mean_what_they_meant() -> None:
    assert Precision.of("cuda").name == Precision.of("cpu", tf32=True).name == "float32"
    assert (Precision.named("amp, cuda").half, Precision.named("amp, cpu").half) == ("float16", "bfloat16")
    assert Precision.of("cuda", amp="float16") == Precision.of("cuda", amp=True), "said outright, it is the same store"


def flags() -> list[object]:
    """Everything that torch keeps of TF32, as far as it can be read."""
    backends = torch.backends
    newer = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn, backends.cudnn, backends.mkldnn.matmul)
    older = (
        lambda: backends.cudnn.allow_tf32,
        lambda: backends.cuda.matmul.allow_tf32,
        torch.get_float32_matmul_precision,
    )
    found: list[object] = [flag.fp32_precision for flag in newer]
    for read in older:
        try:
            found.append(read())
        except RuntimeError:
            found.append("older and newer flags disagree")
    return found


@pytest.fixture
def _as_found() -> Iterator[None]:
    newer = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
    before, cudnn = [flag.fp32_precision for flag in newer], torch.backends.cudnn.allow_tf32
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = cudnn
    for flag, precision in zip(newer, before, strict=True):
        flag.fp32_precision = precision


def no_change() -> None:
    """As torch is imported."""


def older_flags() -> None:
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = True


def medium() -> None:
    torch.set_float32_matmul_precision("medium")


def newer_flags() -> None:
    torch.backends.cudnn.conv.fp32_precision = "ieee"


@pytest.mark.usefixtures("_as_found")
@pytest.mark.parametrize("change", [no_change, older_flags, medium, newer_flags])
@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_is_as_asked_for_and_put_back(change: object, tf32: bool) -> None:
    change()  # type: ignore[operator]
    before = flags()
    asked = "tf32" if tf32 else "ieee"
    with Precision.of("cuda", tf32=tf32).computing(CUDA):
        assert torch.backends.cuda.matmul.fp32_precision == asked
        assert torch.backends.cudnn.conv.fp32_precision == asked
        assert torch.backends.cudnn.rnn.fp32_precision == asked
    assert flags() == before
    with pytest.raises(ZeroDivisionError), Precision.of("cuda", tf32=tf32).computing(CUDA):
        1 / 0  # noqa: B018
    assert flags() == before


def test_a_cpu_is_asked_for_nothing() -> None:
    before = flags()
    with FLOAT32.computing(CPU):
        assert flags() == before
        assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(("amp", "dtype"), [(True, "bfloat16"), ("bfloat16", "bfloat16"), ("float16", "float16")])
def test_autocast_computes_in_what_is_asked_for(amp: bool | str, dtype: str) -> None:
    precision = Precision.of("cpu", amp=amp)
    with precision.computing(CPU):
        assert str((torch.ones(2, 2) @ torch.ones(2, 2)).dtype) == f"torch.{dtype}"
    said = amp_note(precision, amp=amp, tf32=False)
    assert said == (["--amp is bfloat16 on cpu; --amp float16 or bfloat16 says it outright"] if amp is True else [])


def test_a_precision_of_another_device_is_kept_or_the_difference_is_said() -> None:
    of_cuda = Precision.named("amp, cuda")
    with of_cuda.computing(CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float16, "not the CPU's own bfloat16"
    assert "float16 on cuda" in of_cuda.differs_on(CPU)
    assert "cpu computes in float32" in Precision.named("tf32, cuda").differs_on(CPU)
    assert not of_cuda.differs_on(CUDA)
    assert not FLOAT32.differs_on(CPU)
    assert amp_note(Precision.of("cpu", tf32=True), amp=False, tf32=True) == [
        "--tf32 has no effect on a CPU: the features are those of float32"
    ]
