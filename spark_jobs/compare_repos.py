"""files, repos -> repo_overlaps, repo_clusters: duplicate repositories, one row per repository.

    spark-submit spark_jobs/compare_repos.py --config conf/curate/local.yaml output=DIR

A repository at one revision is the set of its content hashes, each counted once. Contents have no
weights. Weights by size would let one vendored data file decide. Weights by rarity would make a
pair's similarity depend on every other repository.

1. Sketch: the PROBES smallest content hashes of a repository, its bottom-k sketch (Broder 1997, "On
   the resemblance and containment of documents"; SHA-256 is the permutation). Contents of more than
   near.bucket_cap repositories, such as empty licence files, come last.
2. Candidates: two repositories of which one holds a probe of the other. A repository that lies in
   another by a share c is found with probability 1 - (1 - c)**PROBES. That finds forks, and also
   small repositories inside large ones, which plain MinHash cannot see. Repositories that share a
   common content as a probe are linked as a star to the smallest of them.
3. Evidence: shared contents are counted in full, so that Jaccard and containment are true. A pair
   is kept where the smaller repository lies in the larger one by near.repo_threshold. Its `kind` is
   exact (one root hash), near (Jaccard reaches the threshold) or contained (it does not: a vendored
   copy, or another version).
4. Clusters of exact and near pairs. The best repository has a known licence, then more stars, then
   a newer last commit, then more contents, then the smaller (repo, revision). As for contents, each
   repository joins the first survivor that is similar to it, or survives.

The root hash is the SHA-256 of the sorted content hashes. It is equal for two copies of a tree,
whatever their paths.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.errors import run_cli
from spark_jobs.near_dup.components import connected
from spark_jobs.near_dup.stars import SO_FAR
from spark_jobs.runtime.context import Context
from spark_jobs.runtime.job import Summary, TableJob, main

# A repository of which 70 % lies in another is missed with probability 0.3**8 < 1e-4.
PROBES = 8
KEY = ["repo", "revision"]
_LED = "id string, keeper string, jaccard double"


def transform(ctx: Context) -> Iterator[tuple[str, DataFrame]]:
    """Yields (repo_overlaps, rows), then (repo_clusters, rows), made from the first as written."""
    with ctx.materialize(JOB.name) as materialize:
        holdings = materialize(held_contents(ctx), "contents of each repository")
        summary = roots(holdings)
        pairs = candidates(probes(holdings, ctx.cfg.near.bucket_cap), holdings)
        yield "repo_overlaps", overlaps(pairs, holdings, summary, ctx.cfg.near.repo_threshold)
        yield "repo_clusters", clusters(ctx.inputs["repo_overlaps"], summary, ctx)


def held_contents(ctx: Context) -> DataFrame:
    """(id, repo, revision, content_sha256): each content of a repository once."""
    kept = (
        ctx.inputs["files"]
        .filter(F.col("drop_reason").isNull())
        .select(*KEY, "content_sha256")
        .distinct()
    )
    return kept.select(identity(KEY).alias("id"), *KEY, "content_sha256")


def identity(key: list[str]) -> Column:
    """A column that names (repo, revision): a SHA-256 in hexadecimal digits."""
    return F.sha2(F.concat_ws("\0", *key), 256)


def roots(holdings: DataFrame) -> DataFrame:
    """(id, repo, revision, contents, root_hash)."""
    tree = F.sha2(F.concat_ws("\n", F.sort_array(F.collect_list("content_sha256"))), 256)
    return holdings.groupBy("id", *KEY).agg(
        F.count("*").cast("int").alias("contents"), tree.alias("root_hash")
    )


def probes(holdings: DataFrame, cap: int) -> DataFrame:
    """(id, content_sha256, common): the sketch of every repository.

    `common` marks contents of more than `cap` repositories.
    """
    held = holdings.groupBy("content_sha256").agg((F.count("*") > cap).alias("common"))
    order = Window.partitionBy("id").orderBy("common", "content_sha256")
    placed = holdings.join(held, "content_sha256").withColumn("place", F.row_number().over(order))
    return placed.filter(F.col("place") <= PROBES).select("id", "content_sha256", "common")


def candidates(sketch: DataFrame, holdings: DataFrame) -> DataFrame:
    """(a, b), a < b, each once: the pairs to compare.

    One of the two holds a rare probe of the other, or both are in the star of a common probe.
    """
    holders = holdings.select(F.col("id").alias("other"), "content_sha256")
    met = sketch.filter("not common").join(holders, "content_sha256").select("id", "other")
    # Ordered for the reason given in stars.py.
    star = Window.partitionBy("content_sha256").orderBy("id").rowsBetween(*SO_FAR)
    stars = sketch.filter("common").select("id", F.first("id").over(star).alias("other"))
    pairs = met.unionByName(stars).filter("id <> other")
    return pairs.select(
        F.least("id", "other").alias("a"), F.greatest("id", "other").alias("b")
    ).distinct()


def overlaps(
    pairs: DataFrame, holdings: DataFrame, summary: DataFrame, threshold: float
) -> DataFrame:
    """Rows of repo_overlaps for the candidate pairs that overlap enough."""
    left = holdings.select(F.col("id").alias("a"), "content_sha256")
    right = holdings.select(F.col("id").alias("b"), "content_sha256")
    common = (
        pairs.join(left, "a")
        .join(right, ["b", "content_sha256"])
        .groupBy("a", "b")
        .agg(F.count("*").alias("common"))
    )
    for end in ("a", "b"):
        facts = [F.col(name).alias(f"{name}_{end}") for name in (*KEY, "contents", "root_hash")]
        common = common.join(summary.select(F.col("id").alias(end), *facts), end)
    smaller = F.least("contents_a", "contents_b")
    measured = common.withColumns(
        {
            "jaccard": F.col("common")
            / (F.col("contents_a") + F.col("contents_b") - F.col("common")),
            "containment": F.col("common") / smaller,
        }
    )
    kind = F.when(F.col("root_hash_a") == F.col("root_hash_b"), "exact").when(
        F.col("jaccard") >= threshold, "near"
    )
    return measured.filter(F.col("containment") >= threshold).withColumn(
        "kind", kind.otherwise("contained")
    )


def clusters(evidence: DataFrame, summary: DataFrame, ctx: Context) -> DataFrame:
    """Rows of repo_clusters for every repository."""
    linked = evidence.filter("kind <> 'contained'").select(
        identity(["repo_a", "revision_a"]).alias("a"),
        identity(["repo_b", "revision_b"]).alias("b"),
        "jaccard",
    )
    ends = linked.select(F.unhex("a").alias("a"), F.unhex("b").alias("b"))
    made_from = {"repo_overlaps": ctx.inputs.version("repo_overlaps")}
    components = connected(ends, ctx, "repo_overlaps", made_from)
    components = components.withColumnRenamed("content_sha256", "id")
    standing = ctx.inputs["repos"].select(
        *KEY, "stars", "last_commit", F.col("license").isNotNull().alias("licensed")
    )
    best_first = Window.partitionBy("component_id").orderBy(
        F.desc_nulls_last("licensed"),
        F.desc_nulls_last("stars"),
        F.desc_nulls_last("last_commit"),
        F.desc("contents"),
        *KEY,
    )
    ranked = (
        components.join(summary, "id")
        .join(standing, KEY, "left")
        .withColumn("place", F.row_number().over(best_first))
    )
    both = linked.unionByName(
        linked.select(F.col("b").alias("a"), F.col("a").alias("b"), "jaccard")
    )
    places = ranked.select(F.col("id").alias("b"), F.col("place").alias("place_b"))
    links = (
        ranked.select(F.col("id").alias("a"), "component_id", "place")
        .join(both, "a")
        .join(places, "b")
    )
    led = links.groupBy("component_id").applyInPandas(_lead, _LED)
    cluster = Window.partitionBy("keeper")
    clustered = led.join(summary.select("id", "root_hash"), "id").withColumns(
        {"cluster_id": F.min("root_hash").over(cluster), "cluster_size": F.count("*").over(cluster)}
    )
    return summary.join(clustered.drop("root_hash"), "id", "left").select(
        *KEY,
        "root_hash",
        "contents",
        F.coalesce("cluster_id", "root_hash").alias("cluster_id"),
        F.coalesce("cluster_size", F.lit(1)).alias("cluster_size"),
        F.coalesce(F.col("keeper") == F.col("id"), F.lit(True)).alias("survivor"),
        F.coalesce("jaccard", F.lit(1.0)).alias("jaccard"),
    )


def _lead(links: pd.DataFrame) -> pd.DataFrame:
    """(id, keeper, jaccard) of one component: the first survivor that each repository is linked to.

    links: (a, place, b, place_b, jaccard).
    """
    rows = []
    leads: set[str] = set()
    for (_, name), own in links.sort_values(["place", "place_b"]).groupby(
        ["place", "a"], sort=True
    ):
        better = own[(own.place_b < own.place) & own.b.isin(leads)]
        if len(better):
            rows.append((name, better.iloc[0].b, better.iloc[0].jaccard))
        else:
            leads.add(name)
            rows.append((name, name, 1.0))
    return pd.DataFrame(rows, columns=["id", "keeper", "jaccard"])


def summarize(ctx: Context) -> Summary:
    """Repositories in, survivors out."""
    rows, kept = ctx.inputs["repo_clusters"].agg(F.count("*"), F.count_if("survivor")).first()
    kinds = {
        row["kind"]: row["count"]
        for row in ctx.inputs["repo_overlaps"].groupBy("kind").count().collect()
    }
    return Summary(
        JOB.name, rows, kept, {"duplicate_repository": rows - kept}, notes={"overlaps": kinds}
    )


def parameters(ctx: Context) -> dict[str, Any]:
    """All that the rows depend on besides the tables."""
    near = ctx.cfg.near
    return {"threshold": near.repo_threshold, "probes": PROBES, "bucket_cap": near.bucket_cap}


JOB = TableJob(
    name="compare_repos",
    writes=("repo_overlaps", "repo_clusters"),
    params=parameters,
    transform=transform,
    reads=("files", "repos"),
    summarize=summarize,
)

if __name__ == "__main__":
    run_cli(lambda argv: main(JOB, argv))
