"""The commands of the console script: their groups, the programs they start, what completes them.

The table holds names alone, so that reading it costs nothing. A test shows that every program and
every schema that it names exists.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One command of the console script.

    program: what follows `python -m`: a module, and the first of its arguments.
    parallel: the program can run as several processes under torchrun.
    schema: `module:class` of the config that `key=value` arguments belong to, empty for none.
    configs: glob of the shipped configs of that schema, relative to the project.
    words: other arguments, for shell completion.
    """

    summary: str
    program: str
    words: tuple[str, ...] = ()
    schema: str = ""
    configs: str = ""
    parallel: bool = False


def _query(name: str, summary: str, *words: str) -> Command:
    """A question to a run's tables, answered without Spark."""
    return Command(summary, f"spark_jobs {name}", ("output=", *words))


def _pretrain(summary: str, program: str, *words: str, parallel: bool = False) -> Command:
    return Command(
        summary,
        program,
        words,
        "conf.schema.pretrain:PretrainConfig",
        "conf/pretrain/*.yaml",
        parallel,
    )


def _post_train(summary: str, program: str, schema: str, parallel: bool = False) -> Command:
    """`program` names its configs too: `rl.sft` has conf/rl/*sft.yaml."""
    configs = f"conf/rl/*{program.removeprefix('rl.')}.yaml"
    return Command(summary, program, (), f"conf.schema.{schema}", configs, parallel)


def _demo(summary: str, program: str, *words: str) -> Command:
    return Command(summary, program, words, "conf.schema.demo:DemoConfig", "conf/demo/[!e]*.yaml")


GROUPS: dict[str, dict[str, Command]] = {
    "Curate": {
        "curate": Command(
            "archives and folders to tables and token shards",
            "spark_jobs run",
            ("until=", "from="),
            "conf.schema.curate:CurateConfig",
            "conf/curate/*.yaml",
        ),
        "status": _query("status", "tables of a run, their versions, and what is stale"),
        "funnel": _query("funnel", "where every file went; the counts add up"),
        "explain": _query("explain", "all that a run knows about one file"),
        "whatif": _query(
            "whatif",
            "what another quality cut would keep",
            *("--cut", "--per", "--threshold", "--threshold-of", "--scorer"),
        ),
        "audit": _query(
            "audit", "precision and recall of near dedup, by brute force", "sample=", "pool="
        ),
        "certify": _query("certify", "an order-free hash per table version"),
        "diff": _query(
            "diff", "which survivors of near dedup the newest run changed", "from=", "to="
        ),
    },
    "Pretrain": {
        "pretrain": _pretrain(
            "pretrain a model on token shards, in any layout",
            "megatron_train.pretrain",
            parallel=True,
        ),
        "stages": Command(
            "run, show, compare or branch the stages of a plan",
            "megatron_train.stages",
            ("resume", "status", "diff", "branch"),
            "conf.schema.stages:StagesConfig",
            "conf/stages/*.yaml",
            parallel=True,
        ),
        "plan": _pretrain(
            "memory, speed and cost of a run, before a GPU is rented",
            "megatron_train plan",
            *("--gpus", "--gpu", "--vocab", "--price", "--rank"),
        ),
        "pack-texts": Command(
            "JSON lines, Parquet or saved data sets to token shards, without Spark",
            "megatron_train.pack_texts",
            (
                *("--texts", "--tokenizer", "--output", "--field", "--id", "--split"),
                *("--val-share", "--fim-rate", "--seed", "--epochs", "--special", "--workers"),
            ),
        ),
        "verify-layout": _pretrain(
            "compare a parallel layout with one process",
            "megatron_train verify_layout",
            *("--tp", "--pp", "--vpp", "--cp", "--dp"),
        ),
        "which-documents": _pretrain(
            "which documents a training step read", "megatron_train which_documents", "--step"
        ),
        "which-steps": _pretrain(
            "which training steps read a document", "megatron_train which_steps", "--document"
        ),
        "bits-per-byte": _pretrain(
            "bits per byte of a model on held-out documents",
            "megatron_train.bits_per_byte",
            "--holdout",
        ),
        "export-hf": _pretrain(
            "export a checkpoint as a Hugging Face folder",
            "megatron_train.export_hf",
            *("--step", "--dtype", "--to", "--shard-gb"),
            parallel=True,
        ),
        "complete": _pretrain(
            "greedy completions of a few prompts by the exported model", "megatron_train.complete"
        ),
        "train-scorer": _pretrain(
            "put a regression head on a model, so that it rates code",
            "megatron_train.train_scorer",
        ),
    },
    "Post-train": {
        "synthesize": Command(
            "problems with tests, from curated code",
            "rl.synthesize",
            schema="conf.schema.ask:SynthesisConfig",
            configs="conf/rl/synthesis.yaml",
        ),
        "distill": _post_train(
            "correct responses of a teacher model", "rl.distill", "ask:DistillConfig"
        ),
        "sft": _post_train("supervised fine-tuning", "rl.sft", "rl:SftConfig", True),
        "dpo": _post_train("preference training on judged samples", "rl.dpo", "rl:DpoConfig", True),
        "grpo": _post_train(
            "reinforcement learning from unit tests", "rl.grpo", "rl:GrpoConfig", True
        ),
        "evaluate": Command(
            "pass@k, gap filling and bits per byte; compare two results",
            "rl.evaluate",
            (
                *("compare", "--model", "--benchmark", "--out", "--samples", "--temperature"),
                *("--max-tokens", "--limit", "--seed", "--tables"),
                *("--environment", "--turns", "--visible-tests"),
            ),
        ),
        "lm-eval": Command(
            "lm-evaluation-harness, with our models as one of its types",
            "rl.lm_eval",
            ("--model", "--model_args", "--tasks", "--batch_size", "--apply_chat_template"),
        ),
        "rescore": Command(
            "judge stored rollouts again and list changed rewards",
            "rl.rescore",
            ("--rollouts", "--problems", "--out", "--workers"),
        ),
        "check-parity": Command(
            "compare log-probabilities of transformers, megatron-core and vLLM",
            "rl.check_parity",
            ("--model", "--dtype", "--limit", "--tokens", "--layout"),
        ),
        "serve": Command(
            "a vLLM server that a training run samples from",
            "rl.serve",
            ("--model", "--max-length", "--host", "--port"),
            "conf.schema.rl:EngineConfig",
        ),
        "sandbox": Command(
            "judge programs from files, or show what this host isolates",
            "rl.sandbox",
            ("run", "check", "--problems", "--samples", "--out", "--workers", "--isolation"),
        ),
    },
    "Whole runs": {
        "demo": _demo("the whole line on real code, on a laptop", "demo"),
        "rounds": _demo(
            "the model of one round selects the data of the next", "demo.rounds", "--rounds"
        ),
        "report": Command("one HTML page about a run", "report", ("output=",)),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}
