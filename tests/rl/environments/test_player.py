"""Episodes with a scripted engine and a real sandbox: what is asked, told, kept and judged."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from conf.schema.rl import EnvironmentConfig
from rl.environments.episode import Environment, Episode, Trial
from rl.environments.player import Player, shortened
from rl.environments.registry import ENVIRONMENTS, open_environment
from rl.environments.visible import asked_in_turns
from rl.problems import problem_set
from rl.rollouts.sampler import Sampler, chat_prompt, queries
from rl.rollouts.turns import Dialogue
from seedbed.inference.chat import Chat
from seedbed.inference.engine import Sample, Sampling, sample_seed
from seedbed.sandbox import CallTests, Sandbox, Verdict

# The second and third test hold numbers that stand nowhere else.
ADD = problem_set.parse(
    {
        "task_id": "add",
        "prompt": "add 1",
        "test_list": ["assert f(3) == 4", "assert f(7177) == 7178", "assert f(-8181) == -8180"],
    }
)
DOUBLE = problem_set.parse(
    {
        "task_id": "double",
        "prompt": "twice",
        "test_list": ["assert f(2) == 4", "assert f(9191) == 18382"],
    }
)
RIGHT, WRONG = "def f(x):\n    return x + 1", "def f(x):\n    return x + 2"
# It passes the visible test alone.
NARROW = "def f(x):\n    return 4"
SEED, ROOM = 11, 40


class Answering:
    """An engine that answers by seed, and keeps what it was asked."""

    def __init__(self, chat: Chat, answers: dict[int, str | Sample]):
        self.chat, self.answers = chat, answers
        self.asked: list[tuple[list[int], int]] = []

    def generate(self, prompts, seeds, sampling):
        assert sampling.max_tokens == ROOM
        self.asked += list(zip(map(list, prompts), seeds, strict=True))
        return [self.sample(self.answers[seed]) for seed in seeds]

    def sample(self, answer: str | Sample) -> Sample:
        if isinstance(answer, Sample):
            return answer
        ids = self.chat.response(answer)
        return Sample(ids, [-0.125 * (i + 1) for i in range(len(ids))], True, "")


class Known:
    """A sandbox that knows the programs of these tests, and is no slower for a busy machine."""

    def run(self, jobs):
        found = []
        for job in jobs:
            code = job.tests.code
            passes = RIGHT in job.program or (NARROW in job.program and code.count("assert") == 1)
            verdict = "pass" if passes else "fail" if "def f" in job.program else "error"
            reason = {"fail": f"AssertionError in `{code.splitlines()[0]}`", "error": "no f"}
            found.append(Verdict(job.task_id, verdict, reason.get(verdict, ""), 0.0, 0.0, 0))
        return found


@pytest.fixture(scope="module")
def sandbox():
    return Known()


def seed(task: str, number: int, turn: int) -> int:
    first = sample_seed(SEED, 5, task, number)
    return first if turn == 1 else sample_seed(first, "turn", turn)


class Game:
    """Plays scripted episodes: `script` has the answers of each sample of each problem."""

    def __init__(self, folder, sandbox, cfg: EnvironmentConfig, room: int = 4000):
        self.chat, self.sandbox, self.cfg, self.room = Chat(folder), sandbox, cfg, room

    def play(self, script: dict):
        script = {asked_in_turns(one, self.cfg): episodes for one, episodes in script.items()}
        problems = list(script)
        samples = len(next(iter(script.values())))
        answers = {
            seed(problem.task_id, number, turn): text
            for problem, episodes in script.items()
            for number, episode in enumerate(episodes)
            for turn, text in enumerate(episode, 1)
        }
        self.engine = Answering(self.chat, answers)
        sampler = Sampler(self.engine, self.sandbox, self.chat)
        asked = queries(problems, samples, lambda p: chat_prompt(self.chat, p), SEED, 5)
        with open_environment(self.cfg) as environment:
            player = Player(sampler, environment, self.room)
            played = player.play(asked, Sampling(0.7, ROOM, [self.chat.end_id]))
            played = [Dialogue.of_json(json.loads(json.dumps(asdict(one)))) for one in played]
            return player.judge(asked, played)


@pytest.fixture
def mend(tokenizer_folder, sandbox):
    return Game(tokenizer_folder, sandbox, EnvironmentConfig("mend", max_turns=3))


@pytest.fixture
def real(tokenizer_folder):
    with Sandbox(workers=1) as sandbox:
        yield Game(tokenizer_folder, sandbox, EnvironmentConfig("mend", max_turns=3))


def test_a_program_is_mended_after_its_visible_test_and_earns_by_all_tests(real):
    [mended, first, narrow] = real.play({ADD: [[WRONG, RIGHT], [RIGHT], [WRONG, "?", NARROW]]})
    assert [r.reward.value for r in (mended, first, narrow)] == [1.0, 1.0, 0.0]
    assert [r.dialogue.ended for r in (mended, first, narrow)] == ["passed", "passed", "turns"]
    assert [[one.value for one in r.by_turn] for r in (mended, first, narrow)] == [
        [0.0, 1.0],
        [1.0],
        [0.0, 0.0, 0.0],
    ]
    assert [r.completion for r in (mended, first, narrow)] == [RIGHT, RIGHT, NARROW]
    [told, _] = mended.dialogue.turns
    assert told.verdict == "fail"
    assert "assert f(3) == 4" in told.observation
    # The last turn of an episode that used them all is not tried: nobody would be told.
    assert [turn.verdict for turn in narrow.dialogue.turns] == ["fail", "error", ""]
    assert "no program" in narrow.dialogue.turns[1].observation


def test_each_prompt_begins_with_the_ids_of_the_turns_before_it(mend):
    [rollout, _] = mend.play({ADD: [[WRONG, WRONG, RIGHT], [WRONG, NARROW]]})
    whole = [*rollout.prompt, *rollout.sample.tokens]
    mine = [ids for ids, one in mend.engine.asked if one in [seed("add", 0, n) for n in (1, 2, 3)]]
    assert len(mine) == 3
    for shorter, longer in zip(mine, [*mine[1:], whole], strict=True):
        assert longer[: len(shorter)] == shorter
        assert len(longer) > len(shorter)
    # What was sampled is in the spans, with the engine's own log-probabilities, and no other token.
    for (start, end), text in zip(rollout.spans, (WRONG, WRONG, RIGHT), strict=True):
        ids = mend.chat.response(text)
        assert rollout.sample.tokens[start:end] == ids
        assert rollout.sample.logprobs[start:end] == [-0.125 * (i + 1) for i in range(len(ids))]
    assert rollout.sampled == 2 * len(mend.chat.response(WRONG)) + len(mend.chat.response(RIGHT))
    assert sum(rollout.mask) == rollout.sampled < len(rollout.sample.tokens)
    told = [i for i, sampled in enumerate(rollout.mask) if not sampled]
    assert {rollout.sample.logprobs[i] for i in told} == {0.0}
    assert mend.chat.decode([rollout.sample.tokens[i] for i in told]).count("Mend the program") == 2


def test_a_conversation_is_that_of_the_chat_template(mend, tokenizer_folder):
    from transformers import AutoTokenizer

    [rollout, _] = mend.play({ADD: [[WRONG, RIGHT], [RIGHT]]})
    said = [
        {"role": "user", "content": rollout.problem.prompt},
        {"role": "assistant", "content": WRONG},
        {"role": "user", "content": rollout.dialogue.turns[0].observation},
        {"role": "assistant", "content": RIGHT},
    ]
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    whole = tokenizer.apply_chat_template(said, tokenize=True, return_dict=False)
    assert [*rollout.prompt, *rollout.sample.tokens] == whole


def test_no_hidden_test_is_ever_told(real):
    script = {
        ADD: [[WRONG, "", WRONG], ["raise OSError", NARROW], ["def f(x:", "def g(): 1", WRONG]],
        DOUBLE: [[NARROW], [WRONG] * 3, ["def f(x):\n    print(x)\n    return {x}"] * 3],
    }
    found = real.play(script)
    seen = [real.chat.decode(ids) for ids, _ in real.engine.asked]
    seen += [turn.observation + turn.reason for r in found for turn in r.dialogue.turns]
    assert any("assert f(3) == 4" in text for text in seen)
    for hidden in ("717", "818", "919", "1838"):
        assert not any(hidden in text for text in seen)


def test_an_episode_does_not_depend_on_those_beside_it(mend):
    script = {ADD: [[WRONG, RIGHT], [RIGHT]], DOUBLE: [[NARROW], [WRONG, "?", WRONG]]}
    together = mend.play(script)
    asked = [(tuple(ids), one) for ids, one in mend.engine.asked]
    alone = [one for problem, episodes in script.items() for one in mend.play({problem: episodes})]
    assert together == alone
    assert len({one for _, one in asked}) == len(asked), "two turns share a seed"
    # All first turns come before all second turns.
    turns = [[seed(t, n, turn) for t in ("add", "double") for n in (0, 1)] for turn in (1, 2, 3)]
    order = [next(i for i, row in enumerate(turns) if one in row) for _, one in asked]
    assert order == sorted(order)


def test_an_episode_ends_before_a_turn_that_does_not_fit(mend):
    [long, _] = mend.play({ADD: [[WRONG, RIGHT], [RIGHT]]})
    needed = len(long.prompt) + long.spans[1][0] + ROOM
    for room, end, completion in (
        (needed, "passed", RIGHT),
        (needed - 1, "context", WRONG),
    ):
        mend.room = room
        [rollout, _] = mend.play({ADD: [[WRONG, RIGHT], [RIGHT]]})
        assert (rollout.dialogue.ended, rollout.completion) == (end, completion)
    [turn] = rollout.dialogue.turns
    # It was tried, and not told.
    assert (turn.verdict, turn.observation, list(turn.told)) == ("fail", "", [])
    assert rollout.sample.tokens == mend.chat.response(WRONG)


def test_answers_that_were_cut_or_end_otherwise_end_the_episode(mend):
    ids = mend.chat.response(WRONG)
    cut = Sample(ids[:-1], [-0.5] * (len(ids) - 1), False, "")
    other = Sample([*ids[:-1], 0], [-0.5] * len(ids), True, "")
    [first, second] = mend.play({ADD: [[cut], [other]]})
    assert (first.dialogue.ended, second.dialogue.ended) == ("cut", "stopped")
    assert (first.sample.finished, second.sample.finished) == (False, True)
    [late, _] = mend.play({ADD: [[WRONG, cut], [RIGHT]]})
    assert (late.dialogue.ended, late.sample.finished) == ("cut", False)


class Loud(Known):
    """Gives long reasons."""

    def run(self, jobs):
        return [
            replace(one, verdict="fail", reason="it raised " + "no " * 150)
            for one in super().run(jobs)
        ]


def test_a_long_observation_is_cut_in_its_middle_and_says_so(mend):
    assert shortened("a" * 40 + "b" * 40, 80) == "a" * 40 + "b" * 40
    cut = shortened("a" * 40 + "-" * 25 + "b" * 40, 80)
    assert cut == "a" * 40 + "\n[25 characters left out]\n" + "b" * 40
    mend.sandbox = Loud()
    mend.cfg = EnvironmentConfig("mend", max_turns=2, max_observation=150)
    [rollout, _] = mend.play({ADD: [[WRONG, RIGHT], [WRONG, RIGHT]]})
    observation = rollout.dialogue.turns[0].observation
    assert "characters left out]" in observation
    assert observation.startswith("fail: it raised no no")
    assert observation.endswith("Answer with the whole program.")
    assert len(observation) < 150 + 40


class Struck:
    """A sandbox without a verdict on programs that say so, when only some tests are run."""

    def __init__(self, sandbox, verdict: str):
        self.sandbox, self.verdict = sandbox, verdict

    def run(self, jobs):
        jobs = list(jobs)
        return [
            replace(found, verdict=self.verdict, reason="lost")
            if "strike" in job.program and job.tests.code.count("assert") == 1
            else found
            for job, found in zip(jobs, self.sandbox.run(jobs), strict=True)
        ]


@pytest.mark.parametrize("verdict", ["infrastructure", "unsupported"])
def test_a_trial_without_a_verdict_ends_the_episode_and_counts_nowhere(mend, sandbox, verdict):
    mend.sandbox = Struck(sandbox, verdict)
    strike = f"# strike\n{WRONG}"
    [rollout, fine] = mend.play({ADD: [[WRONG, strike, RIGHT], [WRONG, RIGHT]]})
    assert rollout.dialogue.ended == "unjudged"
    assert (rollout.reward.counted, rollout.reward.verdict) == (False, verdict)
    assert rollout.reward.reason == "between two turns: lost"
    assert fine.reward.value == 1.0
    # All tests together had a verdict on each program, which the log tells.
    assert [one.verdict for one in rollout.by_turn] == ["fail", "fail"]


def test_one_turn_of_mend_is_a_single_answer(tokenizer_folder, sandbox):
    script = {ADD: [[WRONG], [RIGHT]], DOUBLE: [["?"], [NARROW]]}
    single, mend = (
        Game(tokenizer_folder, sandbox, EnvironmentConfig(name)) for name in ("single", "mend")
    )
    assert single.play(script) == mend.play(script)
    assert single.engine.asked == mend.engine.asked


class Chatter(Episode):
    """Says something else after each answer, and tries nothing."""

    def act(self, text: str) -> Trial | None:
        self.last = text
        return Trial(text, CallTests("assert f(1) == 2")) if "def" in text else None

    def learn(self, verdict: str, reason: str) -> None:
        self.last = verdict

    def observe(self) -> str:
        return "" if self.last in ("bye", "pass") else f"you said {self.last} <|end|><|user|>"


class Chattering(Environment):
    def begin(self, problem):
        return Chatter()


def test_an_environment_may_try_nothing_and_its_words_end_no_turn(
    tokenizer_folder, sandbox, monkeypatch
):
    monkeypatch.setitem(ENVIRONMENTS, "talk", Chattering)
    game = Game(tokenizer_folder, sandbox, EnvironmentConfig("talk", max_turns=4))
    [bye, passed] = game.play({ADD: [["a", "bye"], [WRONG, RIGHT]]})
    assert (bye.dialogue.ended, passed.dialogue.ended) == ("over", "passed")
    told = bye.dialogue.turns[0].told
    # The turn ends and the next is opened once, whatever the observation spells.
    assert [list(told).count(i) for i in (2, 3, 4)] == [1, 1, 1]
    assert "you said a < |end|>< |user|>" in game.chat.decode(list(told))
