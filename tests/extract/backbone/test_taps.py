"""Taps: the paper's counts, and a contract that every family of backbones must keep."""

import re

import pytest
import torch
from head2toe.extract.backbone.backbone import Backbone, load_backbone
from head2toe.extract.backbone.roles import candidates
from head2toe.extract.backbone.taps import discover
from head2toe.extract.features.reader import FeatureReader
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.layer_index import LAST_LAYER

FAMILIES = [  # (model, input size; None where it is built for one size)
    ("resnet18", 64),
    ("resnetv2_50", 64),
    ("resnext50_32x4d", 64),
    ("regnetx_002", 64),
    ("tf_efficientnet_lite0", 64),
    ("mobilenetv3_small_050", 64),
    ("mobilenetv4_conv_small_050", 64),
    ("convnext_atto", 64),
    ("vgg11_bn", 64),
    ("densenet121", 64),
    ("nfnet_l0", 64),
    ("inception_v3", 96),
    ("hrnet_w18_small", 64),
    ("vit_tiny_patch16_224", 64),
    ("deit_tiny_distilled_patch16_224", 64),
    ("vit_small_patch14_reg4_dinov2", 56),
    ("eva02_tiny_patch14_224", 56),
    ("beit_base_patch16_224", 64),
    ("swin_tiny_patch4_window7_224", None),
    ("swinv2_tiny_window8_256", None),
    ("maxvit_rmlp_pico_rw_256", None),
    ("cait_xxs24_224", 64),
    ("mixer_s32_224", None),
    ("hiera_tiny_224", None),
    ("vit_base_patch16_siglip_224", 64),
    ("vit_base_patch32_clip_224", 64),
    ("levit_128s", None),
    ("mvitv2_tiny", None),  # raises an IndexError for another size
    ("poolformer_s12", 64),
    ("ghostnet_100", 64),
    ("gcvit_xxtiny", None),
]
WITHOUT_CLASSIFIER = ("dinov2", "eva02", "siglip")  # built to give features, not logits


def build(name: str, size: int | None) -> Backbone:
    return load_backbone(name, weights="random", input_size=size, device="cpu")


@pytest.mark.parametrize(("name", "count"), [("resnet50", 52), ("resnetv2_50", 52), ("vit_base_patch16_224", 53)])
def test_h2t_has_as_many_taps_as_the_paper(name: str, count: int) -> None:
    assert len(discover(build(name, 64), "h2t").taps) == count


@pytest.mark.parametrize(("name", "size"), FAMILIES)
def test_contract(name: str, size: int | None) -> None:
    backbone = build(name, size)
    taps = discover(backbone, "all").taps
    assert discover(backbone, "all").taps == taps, "the same taps every time"
    names = [tap.name for tap in taps]
    assert len(set(names)) == len(names)
    assert LAST_LAYER in names
    assert ("logits" in names) != any(kind in name for kind in WITHOUT_CLASSIFIER)
    assert sum(role == "block" for role, _, _ in candidates(backbone.model)) >= 4
    numbers = [int(m[1]) for n in names if (m := re.match(r"blocks\.(\d+)\.", n))]
    assert numbers == sorted(numbers), "in the order of the computation: blocks.11 after blocks.3"
    for tap in taps:
        if tap.layout in ("NCHW", "NHWC"):
            channels, *space = tap.shape if tap.layout == "NCHW" else (tap.shape[2], *tap.shape[:2])
            assert space[0] == space[1], f"{tap.name}: {tap.layout} of a square image has a square map"
            assert channels == tap.width(1), f"{tap.name}: the mean over the map leaves the channels"

    side = backbone.input_size
    images = torch.randint(0, 256, (4, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        plain = backbone.model(backbone.preprocessing.normalize(images))
    reader = FeatureReader(backbone, taps, [512])
    features = reader(images)[512]
    assert {n: v.shape[1] for n, v in features.items()} == {t.name: t.width(512) for t in taps}
    assert all(torch.isfinite(torch.from_numpy(v)).all() for v in features.values())
    last = torch.from_numpy(features.get("logits", features[LAST_LAYER]))
    torch.testing.assert_close(
        last, plain, rtol=1e-4, atol=1e-4, msg="what the network returns is changed by the hooks"
    )
    alone = reader(images[:1])[512]
    for layer, values in features.items():
        difference = abs(alone[layer][0] - values[0]).max()
        assert difference <= 1e-3 * abs(values).max() + 1e-5, f"{layer} depends on the batch size"


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "convnext_atto"])
def test_blocks_equal_forward_intermediates(name: str) -> None:
    """The residual stream, read by hooks, is what timm itself calls the intermediate features."""
    backbone = build(name, 64)
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    features = FeatureReader(backbone, discover(backbone, "blocks").taps, [1])(images)[1]
    options = {"return_prefix_tokens": True} if name.startswith("vit") else {}
    with torch.inference_mode():
        normal = backbone.preprocessing.normalize(images)
        stages = backbone.model.forward_intermediates(normal, intermediates_only=True, **options)
    for stage in stages[1:] if name.startswith("resnet") else stages:  # a ResNet's first is its stem, which is no block
        patches, prefix = stage if isinstance(stage, tuple) else (stage, stage[:, :0, 0, 0, None])
        tokens = patches.flatten(2).transpose(1, 2)
        mean = (torch.cat((prefix, tokens), 1) if options else tokens).mean(1)
        alike = [torch.from_numpy(v) for v in features.values() if v.shape == mean.shape]
        assert min(float((mean - v).abs().max()) for v in alike) < 1e-4


def test_activations_in_place_do_not_reach_what_was_read_before() -> None:
    """A ResNet adds and rectifies in place: a block's input must be read as it was, not as it became."""
    backbone = build("resnet18", 64)
    assert any(getattr(m, "inplace", False) for m in backbone.model.modules())
    taps = [t for t in discover(backbone, "all").taps if t.name == "layer1.1.conv1.in" or t.name == "layer1.0.act2"]
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    got = FeatureReader(backbone, taps, [1])(images)[1][taps[0].name]
    model = backbone.model
    with torch.inference_mode():
        x = model.maxpool(model.act1(model.bn1(model.conv1(backbone.preprocessing.normalize(images)))))
        expected = model.layer1[0](x).clone().mean((2, 3))
    torch.testing.assert_close(torch.from_numpy(got), expected, rtol=1e-4, atol=1e-5)


def test_globs_choose_by_name_and_unknown_ones_say_so() -> None:
    backbone = build("vit_tiny_patch16_224", 64)
    names = [tap.name for tap in discover(backbone, "blocks.*.attn, pre_logits").taps]
    assert names == [*(f"blocks.{i}.attn" for i in range(12)), "pre_logits"]
    with pytest.raises(BadRequest, match="'nothing' match nothing"):
        discover(backbone, "blocks.*.attn,nothing")


@pytest.mark.parametrize(("name", "size"), [("vgg11", 16), ("convnext_atto", 16), ("maxvit_tiny_rw_224", 100)])
def test_a_size_that_a_network_cannot_take_is_named(name: str, size: int) -> None:
    with pytest.raises(BadRequest, match=rf"{name} can't take images of {size} pixels \(.*\): choose another"):
        discover(load_backbone(name, weights="random", input_size=size, device="cpu"))


def test_what_cannot_be_tapped_is_named_with_the_reason() -> None:
    found = discover(build("swin_tiny_patch4_window7_224", None), "h2t")
    assert "layers.0.blocks.0.attn" in found.untapped
    assert "is not the batch" in found.untapped["layers.0.blocks.0.attn"]
    assert not set(found.untapped) & {tap.name for tap in found.taps}


def test_layouts_are_read_from_two_sizes() -> None:
    taps = {t.name: t for t in discover(build("convnext_atto", 64), "all").taps}
    assert {t.layout for n, t in taps.items() if n.endswith("mlp.act")} <= {"NCHW", "NHWC"}
    for tap in taps.values():
        if tap.layout == "NCHW":
            assert tap.shape[1] == tap.shape[2]
        if tap.layout == "NHWC":
            assert tap.shape[0] == tap.shape[1]


def test_prefix_tokens_are_the_networks_own() -> None:
    prefixes = {}
    for name in ("vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "vit_small_patch14_reg4_dinov2"):
        backbone = build(name, 56 if "14" in name else 64)
        taps = {tap.name: tap for tap in discover(backbone, "all").taps}
        assert taps["patch_embed"].prefix == 0
        prefixes[name] = taps["blocks.3.attn"].prefix
    assert list(prefixes.values()) == [1, 2, 5]


def test_the_image_can_be_a_layer() -> None:
    backbone = build("resnet18", 32)
    taps = discover(backbone, "blocks", include_input=True).taps
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    features = FeatureReader(backbone, taps, [12])(images)[12]["input"]
    cells = backbone.preprocessing.normalize(images).unfold(2, 16, 16).unfold(3, 16, 16).mean((4, 5))
    torch.testing.assert_close(torch.from_numpy(features), cells.permute(0, 2, 3, 1).flatten(1))
