"""Settings of the Spark jobs.

Paper sections are those of the Seed-Coder report (arXiv 2506.03524).
"""

from conf.schema.curate.config import CurateConfig
from conf.schema.curate.corpus import (
    DecontaminateSettings,
    IngestSettings,
    NearSettings,
    SelectSettings,
    SparkSettings,
    SyntaxSettings,
    TokenSettings,
    VerifySettings,
)
from conf.schema.curate.quality import (
    EndpointSettings,
    LabelSettings,
    RecallSettings,
    ScoreSettings,
)

__all__ = [
    "CurateConfig",
    "DecontaminateSettings",
    "EndpointSettings",
    "IngestSettings",
    "LabelSettings",
    "NearSettings",
    "RecallSettings",
    "ScoreSettings",
    "SelectSettings",
    "SparkSettings",
    "SyntaxSettings",
    "TokenSettings",
    "VerifySettings",
]
