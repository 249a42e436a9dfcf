"""Settings of post-training.

Paper sections are those of the Seed-Coder report (arXiv 2506.03524).
"""

from conf.schema.rl.dpo import DpoConfig
from conf.schema.rl.draw import DrawConfig
from conf.schema.rl.environment import EnvironmentConfig
from conf.schema.rl.grpo import GrpoConfig, RolloutStage
from conf.schema.rl.objective import ObjectiveConfig
from conf.schema.rl.reward import RewardConfig
from conf.schema.rl.sections import (
    EngineConfig,
    ProblemConfig,
    SandboxConfig,
)
from conf.schema.rl.sft import SftConfig

__all__ = [
    "DpoConfig",
    "DrawConfig",
    "EngineConfig",
    "EnvironmentConfig",
    "GrpoConfig",
    "ObjectiveConfig",
    "ProblemConfig",
    "RewardConfig",
    "RolloutStage",
    "SandboxConfig",
    "SftConfig",
]
