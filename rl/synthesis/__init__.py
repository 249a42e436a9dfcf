"""Problems with tests, written by a model from snippets of curated documents (Seed-Coder Sec 3.1).

rl/synthesize.py runs these parts:

    snippets.py   the piece of a document that a problem starts from, and the styles of its text
    teacher.py    prompts -> answers, from an endpoint or from vLLM; no kill makes it ask twice
    answers.py    a step's answer -> what it holds, or the reason why it holds nothing
    draft.py      a snippet on its way to a problem, and the reasons why it may end
    steps.py      the steps that a draft takes
"""
