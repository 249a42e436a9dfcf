"""How often a run reads each source, the cap of each, and a warning where one repeats. Pure.

Up to about four epochs of a source are nearly worth new data, and each further one is worth less
(Muennighoff et al., arXiv 2305.16264 Sec 5 and 6).
"""

from __future__ import annotations

from collections.abc import Mapping

from conf.errors import SeedbedError

# From the source above.
WORTH_NEW_DATA = 4.0


def epochs(weights: Mapping[str, float], samples: Mapping[str, int], read: int) -> dict[str, float]:
    """Source -> passes over it, when `read` samples are drawn by weight.

    samples: of one pass over each source.
    """
    total = sum(weights.values())
    return {name: read * weight / total / samples[name] for name, weight in weights.items()}


def check_caps(read: Mapping[str, float], caps: Mapping[str, float], steps: int) -> list[str]:
    """Warnings for sources that repeat beyond what is worth it, and have no cap.

    read: as `epochs` gives it for all steps of the run. caps: source -> most epochs, 0 for none.

    Raises:
        SeedbedError: for a source that would be read beyond its cap, with how far the run may go.
    """
    warnings = []
    for name, passes in read.items():
        cap = caps.get(name, 0.0)
        if cap and passes > cap:
            raise SeedbedError(
                f"source {name} would be read {passes:.2f} times, and its max_epochs is {cap:g}",
                f"lower its weight, give more data, set schedule.steps={int(steps * cap / passes)}"
                ", or raise its max_epochs",
            )
        if not cap and passes > WORTH_NEW_DATA:
            warnings.append(
                f"note: source {name} is read {passes:.1f} times; beyond {WORTH_NEW_DATA:g} a "
                "repetition is worth much less than new data (max_epochs sets a cap)"
            )
    return warnings
