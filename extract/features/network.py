"""The network that options ask for: loaded, on its device, in its precision."""

from head2toe.extract.backbone.backbone import Backbone, load_backbone, torch_device
from head2toe.extract.features.precision import Precision
from head2toe.extract.options import ExtractOptions
from head2toe.store.common.errors import BadRequest


def backbone_of(options: ExtractOptions) -> Backbone:
    """Load the one backbone that the options name; raises what `load_backbone` raises."""
    (name, weights), *_ = options.networks
    return load_backbone(
        name,
        weights=weights,
        input_size=options.input_size,
        preprocess=options.preprocess,
        device=_device_of(options),
        seed=options.seed,
    )


def precision_of(options: ExtractOptions, backbone: Backbone) -> Precision:
    """Return what the network computes in."""
    return Precision.of(backbone.device.type, amp=options.amp, tf32=options.tf32)


def _device_of(options: ExtractOptions) -> str:
    """Return where the network is put: on the CPU, if torch lacks the GPU that is asked for.

    Features that a store holds already need no GPU in stage one, and stage two has CuPy for its own. (Half precision
    and TF32 are of the device, and so is the store's name then.) The stage asks for the device again before anything
    is extracted.
    """
    try:
        torch_device(options.devices[0])
    except BadRequest:
        if options.amp or options.tf32 or not options.device.startswith("cuda"):
            raise
        return "cpu"
    return options.devices[0]
