"""Write docs/NETWORKS.md from the code: ``python docs/make_networks.py``."""

from pathlib import Path

from fissura.nets import build_enhancer, parameter_count
from fissura.nets.catalogue import CATALOGUE, NetworkEntry, deviations
from fissura.nets.discriminator import PatchDiscriminator
from fissura.nets.ga_cfae import ENHANCERS, Enhanced
from fissura.nets.gmac import count_gmac
from fissura.nets.unet import UNet, UNetConfig
from fissura.train.config import AdversarialConfig

HEAD = """# Networks

What `fissura train` can train, and the enhancers that can stand in front. This page is made by
`docs/make_networks.py` from the code; `fissura models --networks` prints the same table with the speed on your machine.
GMAC are multiply-accumulates of one 512 x 512 image in 10⁹, as the network predicts. "Stated" is what the source says.

| network | source | parameters | stated | here to stated | GMAC | remark |
|---|---|---|---|---|---|---|
"""

ENCODER = """
## Start from an encoder of yours

Nothing pretrained is shipped or downloaded. Weights that you have, of torchvision, timm or of another network of
this page, go in by one key of the recipe:

    architecture: deeplab_v3_plus
    architecture_options: {depth: 50}
    encoder: {file: resnet50.pth, terms: research only, source: where it is from}

`file` is a `.safetensors`, `.pth`, `.pt` or `.bin` file with tensors by name, relative to the recipe;
`encoder: resnet50.pth` is enough. Names and shapes are compared, whatever stands before the names (`module.`,
`backbone.`) is dropped, and the run says what was loaded and what was not. A file that fills less than half of the
encoder is refused, with the reason. `terms` go into the model card: they hold for what is trained from these weights.
Networks with such an encoder: `bisenet_v1`, `swiftnet` (ResNet-18 or -34), `deeplab_v3_plus` (ResNet-18 to -101),
`hrnet`, `mobilenet_v3` (in full with `reduced_tail: false`), `stdc`. Common weights were made for another mean and
standard deviation than our cards have; the training has to take that up. To start a whole network, use `init`.

## Enhancers (GA-CFAE)

An enhancer stands in front of any network and becomes part of the model: of its weights, its card, its ONNX file.

    enhancer: {name: eem}                    trained by the network's own loss
    adversarial: {mode: joint}               and by the discriminator and the masks, at the same time
    adversarial: {mode: two_step, enhancer_steps: 1000}     or before the network, which then finds it frozen

| enhancer | trainable | GMAC | what the network sees |
|---|---|---|---|
"""

ADVERSARIAL = """
The map m is 0 to 1, and every loss of the adversarial training compares it with one target: the mask with a soft rim.
In the published form the output itself is compared with a mask; it has no map, so that it trains by the network's
loss only. `darkening` and `identity` are the controls: what an enhancer gains over no enhancer is a contrast
trick if `darkening` gains it as well, and `identity` must give what no enhancer gives, to the last bit.

The defaults of `adversarial` are the published recipe. It was meant for 200 epochs: at its rate an enhancer of some
fifty numbers hardly moves in a thousand steps, and plain L1 on a mask that is nearly all background asks for an empty
map. For short runs try `learning_rate: 0.01` and `balanced: true`.

| key | default | |
|---|---|---|
"""

COST = """
The discriminator ({parameters:,} parameters at width 64) is no part of the model, but of the cost: {gmac:.0f} GMAC for
a look at 512 x 512, and a step costs about eight looks (true and made maps to learn from, one to judge, and the ways
back): several times the network's own work. On a processor `discriminator_width: 16` costs a sixteenth.

## Deviations from the sources, by name
"""

MEANINGS = {
    "mode": "enhancer and network together, or one after the other in the same run",
    "enhancer_steps": "steps of the enhancer alone, in `two_step`; they count as steps of the run",
    "adversarial": "weight of what the discriminator thinks",
    "content": "weight of L1 between map and target",
    "structure": "weight of the next two together",
    "edge": "L1 between Sobel gradients",
    "continuity": "crack that is missing between pieces that were found, along the true crack",
    "balanced": "content counts crack and background alike",
    "reach_px": "longest gap that continuity sees",
    "learning_rate": "of the enhancer (Adam)",
    "discriminator_learning_rate": "of the discriminator (Adam)",
    "betas": "of Adam, both",
    "discriminator_width": "channels of its first layer",
}
SEEN = {
    ("eem", "corrected"): "x · (1 - α m), m from the image and its edges",
    ("eem_lite", "corrected"): "x · (1 - α m), m from fewer numbers",
    ("eem", "published"): "PReLU(px + S(px) + t + S(t)), t the edge response, p a 1x1, S squeeze-and-excitation",
    ("eem_lite", "published"): "sigmoid(x + S(t))",
    ("darkening", "corrected"): "x · (1 - α m), m = clip((local mean - grey) / (2 · local deviation), 0, 1)",
    ("identity", "corrected"): "x",
}


def main() -> None:
    parts = [HEAD, *map(network_row, CATALOGUE), ENCODER]
    parts += [enhancer_row(name, form) for name in ENHANCERS for form in forms_of(name)]
    parts.append(ADVERSARIAL)
    for key, value in AdversarialConfig().model_dump().items():
        parts.append(f"| `{key}` | {value} | {MEANINGS[key]} |\n")
    judge = PatchDiscriminator()
    parts.append(COST.format(parameters=parameter_count(judge), gmac=gmac_of_a_look(judge)))
    for architecture in dict.fromkeys(entry.architecture for entry in CATALOGUE):
        found = deviations(architecture)
        if found:
            parts.append(f"\n**{architecture}**\n\n" + "".join(f"- {text}\n" for text in found))
    Path(__file__).with_name("NETWORKS.md").write_text("".join(parts), encoding="utf-8")


def network_row(entry: NetworkEntry) -> str:
    stated = "-" if entry.stated is None else f"{entry.stated:,}"
    off = "-" if entry.deviation is None else f"{entry.deviation:+.1%}"
    cells = [f"`{entry.label}`", entry.paper, f"{entry.parameters():,}", stated, off, f"{entry.gmac():.1f}"]
    return "| " + " | ".join([*cells, entry.remark]) + " |\n"


def forms_of(name: str) -> tuple[str, ...]:
    return ("corrected", "published") if name.startswith("eem") else ("corrected",)


def enhancer_row(name: str, form: str) -> str:
    enhancer = build_enhancer({"name": name, "form": form})
    net = UNet(UNetConfig(1))
    work = count_gmac(Enhanced(net, enhancer), (512, 512)) - count_gmac(net, (512, 512))
    label = name if form == "corrected" else f"{name}, form: {form}"
    return f"| `{label}` | {parameter_count(enhancer)} | {work:.2f} | {SEEN[name, form]} |\n"


def gmac_of_a_look(judge: PatchDiscriminator) -> float:
    total, side = 0.0, 512
    for stride, layer in zip((2, 2, 2, 1, 1), judge.layers[::2], strict=True):
        side = side // 2 if stride == 2 else side - 1
        total += layer.weight.numel() * side * side
    return total / 1e9


if __name__ == "__main__":
    main()
