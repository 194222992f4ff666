"""Results as text: the table of methods, and the settings that were chosen."""

from collections.abc import Iterable

from head2toe.probe.methods import ProbeResult
from head2toe.store.listing import table


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
