"""Problems with tests, written by a model from snippets of the curated documents (Seed-Coder Sec
3.1); rl/synthesize.py runs it.

snippets.py   which piece of which document a problem starts from, and in which styles it is told
asker.py      prompts -> answers, from an endpoint or from vLLM, each asked once however often a run is killed
answers.py    a step's answer -> what it holds, or the reason why it holds nothing
steps.py      a snippet's way through the steps, and where it ends
"""
