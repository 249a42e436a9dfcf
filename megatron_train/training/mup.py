"""muP's multipliers for AdamW, by the kind of a weight.

Source: Yang et al., Tensor Programs V (arXiv 2203.03466), Table 3. With m = hidden / base_hidden,
relative to the base model:

    kind      weights                          standard deviation   rate    epsilon
    input     embedding, norms, biases         1                    1       1
    hidden    the matrices of the layers       1 / sqrt(m)          1 / m   1 / m
    output    output layer                     1 / m                1 / m   1

Table 8 has the same for the output layer as a factor 1 / m on the logits, with the rate and the
deviation of the base. The two are one model: Adam's updates do not know the size of a gradient.
This form needs no factor, so the exported model is a plain one of its family. Attention is scaled
by 1 / d in muP. That differs from 1 / sqrt(d) only where heads get wider, which is refused.

Weight decay is multiplied by m where the rate is divided by it, so that a weight shrinks at the
base model's pace. megatron-core 0.19.2 has muP as well, in Table 8's form and with other decay.
"""

from __future__ import annotations

from megatron_train.model import weights


def is_hidden(name: str) -> bool:
    """name: a global one, as in weights.local_parameters."""
    return name.startswith("decoder.layers.") and name.endswith(
        ("linear_qkv.weight", "linear_proj.weight", "linear_fc1.weight", "linear_fc2.weight")
    )


def deviation(name: str, width: float) -> float:
    """What the standard deviation of a weight's initial values is multiplied with."""
    if is_hidden(name):
        return width**-0.5
    return 1 / width if name == weights.HEAD else 1.0


def rate(name: str, width: float) -> float:
    """What the learning rate of a weight is multiplied with."""
    return 1 / width if is_hidden(name) or name == weights.HEAD else 1.0


def epsilon(name: str, width: float) -> float:
    """What Adam's epsilon is multiplied with: gradients of hidden weights shrink with the width."""
    return 1 / width if is_hidden(name) else 1.0
