"""Asking an oracle for labels: the prompt, the answer's format, the journal of answers, and the two ways to ask.

prompt.py     a versioned prompt file and the text that is asked about one content
rating.py     an answer -> a rating, or the reason why it is none
journal.py    answers on disk before they are in the table: a kill asks nothing twice
endpoint.py   any OpenAI-compatible server, asked from one process
weights.py    which model a folder holds
engine.py     vLLM inside the executors

Only engine.py and rating.py are about labels; the others know nothing of Spark and serve rl.synthesize as well.
"""
