"""A config -> a table: does a layout train the same model as one process?

    python -m megatron_train verify_layout --config conf/pretrain/seed_coder_8b.yaml \\
        --tp 2 --pp 2 --cp 2 [key=value]

It takes the config's own layout and shrinks its model. --tp, --pp, --vpp, --cp and --ep replace
parallel.*, and --dp is 1 unless given; tp=2 is the same as --tp 2. The layout and one process each
train a few steps in fp32 over gloo, with what breaks layouts: uneven loss masks, a context-parallel
shard without a counted token, document borders inside its chunks, and a checkpoint that is written
and read half-way. Every loss, every gradient of every step and the last weights are compared. The
exit code is 0 when they agree and 1 when they do not. No GPU is used, even where there is one.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from conf.errors import SeedbedError, run_cli
from conf.flags import parse_flags
from conf.loader import cli_parser, load, to_yaml
from conf.schema.batch import RampedBatchConfig
from conf.schema.experts import ExpertsConfig
from conf.schema.fp8 import Fp8Config
from conf.schema.layout import ModelConfig, ParallelConfig
from conf.schema.pretrain import PretrainConfig

# Largest |difference| / largest |value| of a tensor. fp32 sums in another order stay near 1e-6;
# each fault that tests/megatron_train/test_verify_layout.py puts back is above this.
TOLERANCE = 1e-4
WORKER = ("-m", "megatron_train.parallel.verify_worker")


@dataclass(frozen=True)
class Difference:
    """The worst difference of one kind of value between the layout and one process.

    what: a loss, or a kind of parameter. difference: relative to the largest value of its tensor.
    where: step and parameter of the worst one.
    """

    what: str
    difference: float
    where: str

    @property
    def agrees(self) -> bool:
        """Whether it is small enough; a NaN is not."""
        return self.difference <= TOLERANCE


def main(argv: list[str]) -> int:
    parser = cli_parser("megatron_train verify_layout", __doc__)
    for name in ("tp", "pp", "vpp", "cp", "ep"):
        parser.add_argument(f"--{name}", type=int, help=f"parallel.{name}")
    parser.add_argument("--dp", type=int, default=1, help="data-parallel replicas (default 1)")
    args = parse_flags(parser, argv)
    sizes = [
        f"parallel.{name}={getattr(args, name)}"
        for name in ("tp", "pp", "vpp", "cp", "ep")
        if getattr(args, name) is not None
    ]
    try:
        cfg = load(PretrainConfig, args.config, [*args.overrides, *sizes])
    except SeedbedError as error:
        raise SeedbedError(
            f"the config's own model does not take this layout: {error.problem}", error.fix
        ) from error
    shrunk = shrink(cfg, args.dp)
    if args.dry_run:
        print(to_yaml(shrunk))
        return 0
    processes = _processes(shrunk.parallel, args.dp)
    print(
        f"{cfg.parallel.describe(args.dp)}: {processes} processes against 1, "
        f"{_shape(shrunk.model)}",
        flush=True,
    )
    rows = verify(shrunk, args.dp)
    print(table(rows))
    wrong = [row for row in rows if not row.agrees]
    print(f"{len(wrong)} of {len(rows)} rows differ" if wrong else f"all {len(rows)} rows agree")
    return 1 if wrong else 0


def shrink(cfg: PretrainConfig, dp: int) -> PretrainConfig:
    """The same kind of model and layout, as small as the layout can cut it.

    The ratios of heads and widths stay, and so does the form of the layers.
    """
    m, p = cfg.model, cfg.parallel
    multiple = p.sequence_multiple()
    kv_heads = p.tp * (2 if p.tp == 1 and m.kv_heads > 1 else 1)
    heads = kv_heads * min(m.heads // m.kv_heads, 4)
    if m.kv_heads < p.tp:
        # Processes share key heads.
        kv_heads, heads = m.kv_heads, p.tp * min(m.heads // p.tp, 2)
    hidden = heads * 8
    layers, p = _layers(m, p)
    pattern = m.layer_pattern
    model = replace(
        m,
        layers=layers,
        # Uneven stages may hold any number of layers, and each then has a letter of its own.
        layer_pattern=pattern if layers % len(pattern) == 0 else (pattern * layers)[:layers],
        # Heads are as wide as hidden / heads, or they are not.
        head_dim=12 if m.head_dim else 0,
        window=min(m.window, 9),
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        ffn=p.tp * -(-hidden * m.ffn // (m.hidden * p.tp)),
        seq_length=multiple * -(-32 // multiple),
        experts=_few(m.experts, p.ep),
    )
    micro = min(cfg.batch.micro, 2)
    batch = RampedBatchConfig(micro=micro, total=micro * dp * 2 * p.pp)
    # With a larger epsilon Adam does not divide a rounding error by a gradient that is nearly 0.
    return replace(
        cfg,
        model=model,
        parallel=p,
        batch=batch,
        optim=replace(cfg.optim, eps=1e-3),
        dtype="fp32",
        fp8=Fp8Config(),
    )


def _layers(model: ModelConfig, layout: ParallelConfig) -> tuple[int, ParallelConfig]:
    """As few layers as show the layout, and the layout over them.

    Each kind of layer is there. Stages are as uneven as they were: the first and the last have
    fewer or more layers than those between, or as many.
    """
    if not (layout.first_layers or layout.last_layers):
        return math.lcm(len(model.layer_pattern), max(2, layout.pp * layout.vpp)), layout
    # Of two stages, the other one is what a stage is compared with.
    other = 1 if layout.pp > 2 or layout.first_layers else 0
    between = layout.stage_layers(model.layers, other)
    sizes = []
    for count in (layout.first_layers, layout.last_layers):
        sizes.append(count and (1 if count < between else 3 if count > between else 2))
    layout = replace(layout, first_layers=sizes[0], last_layers=sizes[1])
    return sum(sizes) + 2 * (layout.pp - sum(size > 0 for size in sizes)), layout


def _few(experts: ExpertsConfig, ep: int) -> ExpertsConfig:
    """Two experts or more a process, and a load-balancing loss that is large enough to be seen."""
    if not experts.number:
        return experts
    number = max(2 * ep, 4)
    return replace(
        experts,
        number=number,
        top_k=min(experts.top_k, number - 1),
        aux_loss=0.1 if experts.aux_loss else 0.0,
    )


def verify(cfg: PretrainConfig, dp: int, worker: tuple[str, ...] = WORKER) -> list[Difference]:
    """Train the shrunk config in its layout and in one process, and compare.

    worker: the program that torchrun starts for the layout.
    """
    with tempfile.TemporaryDirectory() as scratch:
        # The load-balancing loss is one of each micro-batch, which must then be the same.
        same = cfg.model.form.experts
        micro = cfg.batch.micro if same else cfg.batch.total // (2 * cfg.parallel.pp)
        alone = replace(cfg, parallel=ParallelConfig(), batch=replace(cfg.batch, micro=micro))
        _run(alone, 1, cfg.parallel.cp, Path(scratch) / "alone", WORKER)
        _run(cfg, _processes(cfg.parallel, dp), cfg.parallel.cp, Path(scratch) / "layout", worker)
        return compare(Path(scratch) / "alone", Path(scratch) / "layout")


def compare(alone: Path, layout: Path) -> list[Difference]:
    """The worst difference of each kind of value, between the folders of two verify_worker runs."""
    from safetensors.torch import load_file

    ours, theirs = (json.loads((folder / "seen.json").read_text()) for folder in (layout, alone))
    rows = []
    for name in ("loss", "grad_norm"):
        worst = max(
            (_far(a, b), f"step {i}")
            for i, (a, b) in enumerate(zip(ours[name], theirs[name], strict=True), start=1)
        )
        rows.append(Difference(name, *worst))
    kinds: dict[str, tuple[float, str]] = {}
    for file in sorted(p.name for p in alone.glob("*.safetensors")):
        a, b = load_file(layout / file), load_file(alone / file)
        if a.keys() != b.keys():
            missing = sorted(a.keys() ^ b.keys())
            kinds[f"{file}: names"] = (float("nan"), ", ".join(missing[:3]))
            continue
        what, place = file.removesuffix(".safetensors").split("-")
        for name in a:
            scale = b[name].abs().max().item() or 1.0
            far = (a[name] - b[name]).abs().max().item() / scale
            rest = re.sub(r"^decoder.layers.[0-9]+.|(?<=experts)[.][0-9]+", "", name)
            kind = f"{what} {rest.removesuffix('.weight')}"
            worst_so_far = kinds.get(kind, (-1.0, ""))
            # The comparison is written so that a NaN counts as the worst.
            if not far <= worst_so_far[0]:
                kinds[kind] = (far, f"{place.replace('step', 'step ')}, {name}")
    rows += [Difference(kind, *worst) for kind, worst in sorted(kinds.items())]
    rows += [
        Difference(f"random numbers {name}", 0.0 if right else float("nan"), "")
        for name, right in ours["random"].items()
    ]
    return rows


def table(rows: list[Difference]) -> str:
    width = max(len(row.what) for row in rows)
    lines = [f"{'':{width}}  largest relative difference (at most {TOLERANCE:g})"]
    lines += [
        f"{row.what:{width}}  {row.difference:.1e}  "
        f"{'ok    ' if row.agrees else 'DIFFERS'}  {row.where}"
        for row in rows
    ]
    return "\n".join(lines)


def _far(a: float, b: float) -> float:
    return abs(a - b) / (abs(b) or 1.0)


def _processes(layout: ParallelConfig, dp: int) -> int:
    return layout.tp * layout.pp * layout.cp * dp


def _run(
    cfg: PretrainConfig, processes: int, shards: int, out: Path, worker: tuple[str, ...]
) -> None:
    out.mkdir()
    (out / "config.yaml").write_text(to_yaml(cfg))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), *worker, str(out), str(shards)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        said = [line for line in done.stdout.splitlines() if line.strip()]
        # What a process raised; the rest is its stack, and torchrun's list of processes that ended.
        raised = [line for line in said if re.search(r"\w(Error|Exception): ", line)]
        raise SeedbedError(
            f"training with {processes} processes ended with code {done.returncode}:\n"
            + "\n".join((raised or said)[-15:]),
            "the layout does not run at all: mend what these lines name",
        )


def _shape(m: ModelConfig) -> str:
    return (
        f"{m.layers} layers, hidden {m.hidden}, {m.heads}/{m.kv_heads} heads, "
        f"sequences of {m.seq_length}"
    )


if __name__ == "__main__":
    run_cli(main)
