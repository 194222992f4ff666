"""What a network costs grows as it should, attention included."""

import torch
from head2toe.extract.backbone.backbone import load_backbone
from head2toe.extract.backbone.cost import forward_flops, nbytes


def test_flops_grow_with_the_image_and_attention_is_counted() -> None:
    backbone = load_backbone("test_efficientnet", weights="random", input_size=32, device="cpu")
    small, large = (forward_flops(backbone.model, size, backbone.device) for size in (32, 64))
    assert 3.5 < large / small < 4.1
    vit = load_backbone("test_vit", weights="random", device="cpu").model
    weights = [w for name, w in vit.named_parameters() if "blocks" in name and w.ndim == 2]
    tokens, depth, width = vit.pos_embed.shape[1], len(vit.blocks), vit.embed_dim
    blocks = 2 * tokens * sum(w.numel() for w in weights) + 4 * depth * tokens**2 * width
    assert blocks < forward_flops(vit, 160, torch.device("cpu")) < 1.3 * blocks, "products with weights, and attention"
    assert nbytes(backbone.model) > 4 * sum(weights.numel() for weights in backbone.model.parameters())
