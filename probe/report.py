"""Results as text: the table of methods, and where the kept features come from."""

from collections.abc import Iterable, Sequence

from head2toe.probe.methods import ProbeResult


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Plain columns: the first aligned left, the others right."""
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def method_table(methods: Iterable[ProbeResult]) -> str:
    """One row a method: accuracies, features kept, seconds."""
    return table(
        ("method", "cv accuracy", "test accuracy", "features kept", "seconds"),
        [
            (
                m.name,
                f"{m.cv_accuracy:.3f} ± {m.cv_stderr:.3f}",
                f"{m.test_accuracy:.3f}",
                f"{m.features_kept:,} of {m.features_total:,}",
                f"{m.seconds:.1f}",
            )
            for m in methods
        ],
    )


def settings_line(method: ProbeResult) -> str:
    """The settings that the folds chose."""
    return f"{method.name}: " + ", ".join(f"{key} {value}" for key, value in method.settings.items())
