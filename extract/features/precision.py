"""In which precision a backbone computes: by its name in keys and models, and as what torch is asked for."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from head2toe.extract.backbone.backbone import AMP_DTYPES

_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


@dataclass(frozen=True)
class Precision:
    """What a backbone computes in; pooling is in float32 all the same.

    Attributes
    ----------
    device : str
        The type of the device that it is of: "cpu" or "cuda".
    half : {"", "float16", "bfloat16"}
        What autocast computes in; empty without.
    tf32 : bool
        Whether a GPU may round the factors of float32 products to TF32's 10 bits. Torch's own default is to do so in
        convolutions and not in other products; here it is off everywhere unless asked for.
    """

    device: str = "cpu"
    half: str = ""
    tf32: bool = False

    @classmethod
    def of(cls, device: str, *, amp: bool | str = False, tf32: bool = False) -> "Precision":
        """Return the precision that options ask for on a type of device.

        Parameters
        ----------
        device : str
            "cpu" or "cuda".
        amp : bool or str
            Whether autocast is on: True for what is usual on the device (`AMP_DTYPES`), or "float16" or "bfloat16".
        tf32 : bool
            Whether TF32 may be used; without effect on a CPU, which has none.
        """
        half = _NAMES[AMP_DTYPES[device]] if amp is True else amp or ""
        return cls(device, half, tf32 and device == "cuda")

    @classmethod
    def named(cls, name: str) -> "Precision":
        """Return the precision of a name that `name` gave, as a model's document has it."""
        kind, *rest = name.split(", ")
        if kind == "float32":
            return cls()
        device, *further = rest
        usual = _NAMES[AMP_DTYPES.get(device, torch.float16)]
        half = next((word for word in further if word in _DTYPES), usual) if kind == "amp" else ""
        return cls(device, half, kind == "tf32" or "tf32" in further)

    @property
    def name(self) -> str:
        """What stands in keys: `float32`, `amp, cuda`, `amp, cuda, bfloat16`, `tf32, cuda`, `amp, cuda, tf32`.

        What autocast usually computes in on a device goes unsaid, as in the keys of before there was a choice.
        """
        if not self.half:
            return f"tf32, {self.device}" if self.tf32 else "float32"
        usual = self.half == _NAMES[AMP_DTYPES.get(self.device, torch.float16)]
        return f"amp, {self.device}" + ("" if usual else f", {self.half}") + (", tf32" if self.tf32 else "")

    @contextmanager
    def computing(self, device: torch.device) -> Iterator[None]:
        """Let torch compute in this precision on a device; what is global is put back as it was found."""
        # No disabled autocast: torch.export would record it as a part of the graph.
        autocast = torch.autocast(device.type, _DTYPES[self.half]) if self.half else nullcontext()
        products = _float32_products(tf32=self.tf32) if device.type == "cuda" else nullcontext()
        with products, autocast:
            yield

    def differs_on(self, device: torch.device) -> str:
        """Say how what is computed on a device differs from this precision; empty where it does not."""
        if self.half and self.device != device.type:
            return (
                f"the features that the head learned from were computed in {self.half} on {self.device}; on "
                f"{device.type} the same precision adds up in another order"
            )
        if self.tf32 and device.type != "cuda":
            return "the features that the head learned from were computed with TF32 on cuda; cpu computes in float32"
        return ""


FLOAT32 = Precision()
"""Single precision, on every device."""


def amp_note(precision: Precision, *, amp: bool | str, tf32: bool) -> list[str]:
    """Say what `--amp` without a word stands for on this device, and where `--tf32` has no effect."""
    notes = []
    if amp is True:
        notes.append(f"--amp is {precision.half} on {precision.device}; --amp float16 or bfloat16 says it outright")
    if tf32 and not precision.tf32:
        notes.append("--tf32 has no effect on a CPU: the features are those of float32")
    return notes


def torch_flags(precision: Precision) -> dict[str, Any]:
    """Return what numbers depend on beside a store's key, as JSON: the device, and what torch is told of it."""
    return {
        "device": precision.device,
        "tf32": precision.tf32,
        "cudnn.deterministic": torch.backends.cudnn.deterministic,
        "cudnn.benchmark": torch.backends.cudnn.benchmark,
        "use_deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
    }


@contextmanager
def _float32_products(*, tf32: bool) -> Iterator[None]:
    """Switch TF32 on or off in cuBLAS and cuDNN.

    Torch keeps two sets of flags, older and newer, and an older one can't be read where a newer one was set against
    it. It is left alone then, and only the newer ones are set and put back.
    """
    newer: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn]  # type: ignore[attr-defined]
    # The older flag of products is one for CPU and GPU, so that the newer one of the CPU has to be put back, too.
    found: list[Any] = [*newer, torch.backends.mkldnn.matmul]  # type: ignore[attr-defined]
    before = [flag.fp32_precision for flag in found]
    try:
        older: tuple[str, bool] | None = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    except RuntimeError:
        older = None
    try:
        if older:
            torch.set_float32_matmul_precision("high" if tf32 else "highest")
            torch.backends.cudnn.allow_tf32 = tf32
        for flag in newer:
            flag.fp32_precision = "tf32" if tf32 else "ieee"
        yield
    finally:
        if older:
            torch.set_float32_matmul_precision(older[0])
            torch.backends.cudnn.allow_tf32 = older[1]
        for flag, precision in zip(found, before, strict=True):
            flag.fp32_precision = precision
