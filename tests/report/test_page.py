"""The page as its readers get it: complete, escaped, honest about what is missing, and the same
each time.
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from conf.errors import SeedbedError
from report.__main__ import main
from report.page import SECTIONS, build
from seedbed.queries.audit import audit
from tests.report import tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny.write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def page(run):
    return build(str(run))


class Tags(HTMLParser):
    """Every start tag with its attributes, and whether tags are balanced."""

    VOID = frozenset(
        {"meta", "link", "br", "img", "hr", "circle", "rect", "line", "polyline", "polygon"}
    )

    def __init__(self, text: str):
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def section(page: str, name: str) -> str:
    return re.search(rf'<section id="{name}"[^>]*>(.*?)</section>', page, re.S)[1]


def text(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def test_a_finished_run_gives_every_section(page):
    assert "Not there yet" not in page
    for name, _, _ in SECTIONS:
        assert section(page, name)


def test_the_funnel_adds_up_on_the_page(page):
    assert "It adds up: 8 seen − 5 dropped = 3." in text(section(page, "funnel"))


def test_hostile_names_and_contents_stay_text(page):
    assert "<script" not in page
    # and the name is there to be seen
    assert "&lt;script&gt;alert(" in page
    # nor can text be reordered
    assert "\u202e" not in page
    assert "<b>noise</b>" not in page
    tags = Tags(page)
    assert not tags.open
    assert not [attrs for _, attrs in tags.seen if any(name.startswith("on") for name in attrs)]


def test_the_page_loads_nothing(page):
    for tag, attrs in Tags(page).seen:
        assert tag not in {"script", "iframe", "object", "img", "image", "use"}
        for name in ("src", "href"):
            value = attrs.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, value)
    assert not re.search(r"@import|url\(", page)
    assert "default-src 'none'" in page


def test_the_same_run_gives_the_same_bytes(run, page):
    assert build(str(run)) == page


def test_a_run_that_stopped_after_clusters_says_what_is_missing_and_what_makes_it(tmp_path):
    tiny.write_ingested(tmp_path)
    tiny.write_clusters(tmp_path)
    page = build(str(tmp_path))
    assert "Of 8 files seen, 5 (62%) are left so far." in text(section(page, "funnel"))
    assert "Jaccard 0.820" in section(page, "duplicates")
    for name, what in (
        ("syntax", "table syntax"),
        ("quality", "table scores"),
        ("tokens", "table documents"),
    ):
        missing = text(section(page, name))
        assert f"Not there yet: {what}. Make it with: python -m spark_jobs run" in missing
        assert f"output={tmp_path} until={what.removeprefix('table ')}" in missing
    assert "-m megatron_train.pretrain" in section(page, "pretrain")
    assert "-m rl.grpo" in section(page, "grpo")


def test_training_without_tables_gives_a_page(tmp_path):
    tiny.write_training(tmp_path)
    page = build(str(tmp_path))
    assert "Training loss 5.00 → 0.50 in 10 steps." in text(section(page, "pretrain"))
    assert "Not there yet: table files" in text(section(page, "funnel"))


def test_a_funnel_that_does_not_add_up_is_said_and_the_rest_still_shown(tmp_path):
    tiny.write_ingested(tmp_path)
    tiny.write_clusters(tmp_path)
    tiny.write_verdicts(tmp_path)
    tiny.write_table(
        tmp_path,
        "decisions",
        [{"content_sha256": "0" * 64, "reason": None, "detail": None, "shard": 0}],
    )
    page = build(str(tmp_path))
    assert "the funnel does not add up: 6 contents, 1 decisions" in text(section(page, "funnel"))
    assert "Jaccard 0.820" in section(page, "duplicates")


@pytest.mark.slow
def test_the_audit_is_shown_while_it_speaks_of_the_present_clusters(tmp_path):
    tiny.write_ingested(tmp_path)
    tiny.write_clusters(tmp_path)
    measure = f"python -m spark_jobs audit output={tmp_path}"
    assert measure in text(section(build(str(tmp_path)), "duplicates"))
    audit(str(tmp_path), sample=10, pool=10)
    found = text(section(build(str(tmp_path)), "duplicates"))
    assert measure not in found
    # one copy: Wilson at n = 1
    assert "precision all dropped contents 100.00% 20.65% to 100.00% 1" in found
    # another version
    tiny.write_clusters(tmp_path)
    assert "have changed since they were audited" in text(
        section(build(str(tmp_path)), "duplicates")
    )


def test_the_cut_is_the_highest_score_that_was_dropped(page):
    assert "The policy cuts at 0.100 and drops 2." in text(section(page, "quality"))


def test_scorers_are_shown_with_the_errors_they_measured(page):
    quality = text(section(page, "quality"))
    assert f"{tiny.SCORER} cross validated 6 1.25 1.50 0.80 50% 0%" in quality
    assert "language_model-1 held-out repositories 1.40 0.50" in quality
    assert "language_model-1 mean of labels 2.00" in quality
    assert "2 rounds; bits per byte on the fixed hold-out changed by -0.1000" in text(
        section(page, "rounds")
    )
    assert "Calibration: Python" in quality
    # six files make no curve
    assert "Calibration: C" not in quality


def test_completions_before_and_after_stand_side_by_side_with_their_verdicts(page):
    grpo = text(section(page, "grpo"))
    assert "On problems that were not trained on: 0.10 → 0.50." in grpo
    assert "before: fail 0 of 1 samples pass return wrong" in grpo
    assert "after: pass 1 of 1 samples pass return right" in grpo


def test_fill_in_the_middle_is_counted_in_the_shard_itself(page):
    assert "50% of 2 counted documents fill in the middle" in text(section(page, "tokens"))


def test_a_metrics_file_that_a_kill_cut_short_is_read_up_to_the_cut(tmp_path):
    rows = [
        json.dumps(
            {
                "step": i,
                "loss": 4.0 - i,
                "tokens": i,
                "lr": 0.1,
                "grad_norm": 1.0,
                "tokens_per_s": 1.0,
            }
        )
        for i in (1, 2)
    ]
    (tmp_path / "pretrain").mkdir()
    (tmp_path / "pretrain/metrics.jsonl").write_text("\n".join(rows) + '\n{"step": 3, "lo')
    assert "Training loss 3.00 → 2.00 in 2 steps." in text(
        section(build(str(tmp_path)), "pretrain")
    )


def test_the_command_writes_the_page_beside_the_run(run, page, capsys):
    assert main([f"output={run}"]) == 0
    assert (run / "report.html").read_text(encoding="utf-8") == page
    assert "report.html" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [[], ["output="], ["runs/demo"], ["output=a", "extra"]])
def test_wrong_arguments_are_refused(argv):
    with pytest.raises(SeedbedError, match="report takes output=DIR alone"):
        main(argv)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(SeedbedError, match="nothing of a run under"):
        build(str(tmp_path / "nowhere"))


def test_help_lists_every_section_with_what_it_shows(capsys):
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, _, _ in SECTIONS:
        assert any(line.split()[:1] == [name] and len(line.split()) > 3 for line in lines), name


def test_the_funnel_tells_what_each_reason_means(page):
    assert "low_quality −2 below the score cut" in text(section(page, "funnel"))
