"""What a network costs: floating-point operations of a forward pass, bytes of its weights."""

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

PASSES_A_STEP = 3
"""Forward passes that one step of training costs, forward and backward: the gradient needs two products where the
forward pass needs one, by the weights and by the activations (Kaplan et al. 2020, arXiv:2001.08361, section 2.1)."""


def forward_flops(network: nn.Module, input_size: int, device: torch.device) -> float:
    """Count the floating-point operations of one image's forward pass; a multiply-add counts as two.

    Convolutions and matrix products are counted, as is usual; what is done element by element is not.

    Parameters
    ----------
    network : torch.nn.Module
        The network, in eval mode.
    input_size : int
        Height and width of the image in pixels.
    device : torch.device
        Where the network is.
    """
    image = torch.zeros(1, 3, input_size, input_size, device=device)
    # A fused kernel of attention is not counted on every device; the plain products that do the same are.
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network(image)
    return float(counter.get_total_flops())


def nbytes(network: nn.Module) -> int:
    """Return the bytes of all weights and buffers: what has to be kept of a network that was trained as a whole."""
    return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
