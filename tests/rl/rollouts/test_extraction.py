"""The program in a reply, for the ways in which models write replies."""

from __future__ import annotations

import pytest

from rl.rollouts.extraction import extract_program, quoted_answer

F = "```"
CODE = "def f(x):\n    return x + 1\n"
DRAFT = "def f(x):\n    return x\n"
SCRIPT = "n = int(input())\nprint(n + 1)\n"


def value(program: str) -> int:
    """f(1) of the program."""
    scope: dict = {}
    exec(compile(program, "<program>", "exec"), scope)
    return scope["f"](1)


# Replies whose program has f(1) == 2, whether the name f is known or not.
FUNCTIONS = {
    "fenced": f"Here:\n{F}python\n{CODE}{F}\n",
    "a usage behind it": f"{F}python\n{CODE}{F}\nUsage:\n{F}python\nprint(f(1))\n{F}\n",
    "a usage before it": f"So that\n{F}python\nf(1)\n{F}\nworks:\n{F}python\n{CODE}{F}\n",
    "its output behind it": f"{F}python\n{CODE}{F}\nOutput:\n{F}\n2\n{F}\n",
    "a list as its output": f"{F}python\n{CODE}{F}\n{F}\n{[10**6] * 30}\n{F}\n",
    "a summary": f"{F}py\n{CODE}{F}\nComplexity:\n{F}text\nO(1) time, O(1) space, no more\n{F}\n",
    "commands": f"{F}bash\npip install x\n{F}\n{F}python\n{CODE}{F}\n{F}sh\npython f.py\n{F}\n",
    "a session": f"{F}python\n{CODE}{F}\n{F}pycon\n>>> f(1)\n2\n{F}\n{F}\n>>> f(1)\n2\n{F}\n",
    "another language": f"{F}python\n{CODE}{F}\n{F}js\nfunction f(x) {{ return x + 1 }}\n{F}\n",
    "other words that parse": f"{F}python\n{CODE}{F}\n{F}json\n{{'a_long_list': {[1] * 40}}}\n{F}",
    "in a list": f"1. So:\n\n   {F}python\n   def f(x):\n       return x + 1\n   {F}\n",
    "on the line of its bullet": f"- {F}python\n  def f(x):\n      return x + 1\n  {F}\n",
    "in a list, text at the margin": (
        f"1. So:\n   {F}python\n   def f(x):\n       '''Adds\none.'''\n"
        f"       return x + 1\n   {F}\n"
    ),
    "in a tabbed list": f"*\tSo\n\t{F}python\n\tdef f(x):\n\t\treturn x + 1\n\t{F}\n",
    "quoted": f"> {F}python\n> def f(x):\n>     return x + 1\n> {F}\n",
    "a fence in a docstring": (
        f"{F}python\ndef f(x):\n    '''Such as\n    {F}\n    f(1) == 2\n    {F}\n    '''\n"
        f"    return x + 1\n{F}\n"
    ),
    "a fence in a docstring at the margin": (
        f"{F}python\n'''Such as\n{F}python\nf(1) == 2\n{F}\n'''\n{CODE}{F}\nDone.\n"
    ),
    "a fence in a string": f"{F}python\nMARK = '{F}'\n{CODE}{F}\n",
    "marks in a sentence": f"The function {F}f{F} is:\n{F}python\n{CODE}{F}\n",
    "a line that begins with marked words": f"{F}f{F} adds:\n{F}python\n{CODE}{F}\n",
    "tildes": f"~~~python\n{CODE}~~~\n",
    "tildes around backticks": f"~~~\n{F}python\n{CODE}{F}\n~~~\n",
    "four marks": f"````python\nMARK = '''\n{F}\n'''\n{CODE}````\n",
    "more marks behind than before": f"{F}python\n{CODE}`````\nDone.\n",
    "code on the fence's line": f"{F}python {CODE.strip()} {F}",
    "all on one line": f"{F}python f = lambda x: x + 1{F}",
    "windows": f"{F}python\n{CODE}{F}\n".replace("\n", "\r\n"),
    "a mark of byte order": f"\ufeff{F}python\n{CODE}{F}\n",
    "a blank before the language": f"{F} python\n{CODE}{F}",
    "upper case": f"{F}Python\n{CODE}{F}",
    "a version": f"{F}python3.12\n{CODE}{F}",
    "attributes": f'{F}python title="a.py" linenums=1\n{CODE}{F}',
    "braces": f"{F}{{.python .numberLines}}\n{CODE}{F}",
    "a file's name": f"{F}python:src/f.py\n{CODE}{F}",
    "a file's name alone": f"{F}f.py\n{CODE}{F}",
    "no language": f"{F}\n{CODE}{F}\n",
    "a wrong language": f"{F}text\n{CODE}{F}\n",
    "Markdown in a fence": f"{F}markdown\n# Answer\n{F}python\n{CODE}{F}\n{F}\n",
    "never closed": f"{F}python\n{CODE}",
    "never closed, and prose": f"{F}python\n{CODE}\nThis adds one.",
    "closed by the next one": f"{F}python\n{CODE}{F}python\nprint(f(1))\n{F}\n",
    "closed by the output's": f"{F}python\n{CODE}{F}text\nThe answer is 2.\n{F}\n",
    "closed on its last line": f"{F}python\ndef f(x):\n    return x + 1{F}",
    "closed with a word behind": f"{F}python\n{CODE}{F} This adds one.\n",
    "prose and no fence": f"Sure! Here is the code:\n\n{CODE}\nThis adds one.",
    "one word and no fence": f"Solution\n\n{CODE}\nDone",
    "no fence, a summary in one": f"Here:\n\n{CODE}\nSo:\n{F}\nprint(f(1))\n{F}\n",
    "the code alone": CODE,
    "the code alone, indented": "    def f(x):\n        return x + 1\n",
    "an opened fence": f"{CODE}{F}\nThis adds one.",
    "an opened fence, and a usage": f"{CODE}{F}\nUsage:\n{F}python\nprint(f(1))\n{F}\n",
    "two ways": f"{F}python\n{CODE}{F}\nOr:\n{F}python\nf = lambda x: x + 1\n{F}\n",
    "in two parts": (
        f"{F}python\ndef g(x):\n    return 1\n{F}\nThen:\n{F}python\ndef f(x):\n"
        f"    return x + g(x)\n{F}\n"
    ),
    "in two parts, the helper last": (
        f"{F}python\ndef f(x):\n    return x + g(x)\n{F}\nwith\n{F}python\ndef g(x):\n"
        f"    return 1\n{F}\n"
    ),
    "imports apart": (
        f"{F}python\nimport math as m\n{F}\n{F}python\nfrom __future__ import annotations\n"
        f"def f(x):\n    return x + int(m.cos(0))\n{F}\n"
    ),
    "three parts": (
        f"{F}python\nA = 1\n{F}\n{F}python\ndef g(x):\n    return A\n{F}\n{F}\n2\n{F}\n"
        f"{F}python\ndef f(x):\n    return x + g(x)\n{F}\n"
    ),
    "marks of Code Llama": f"[PYTHON]\n{CODE}[/PYTHON]\nIt adds one.",
    "in a sentence": "The answer is `f = lambda x: x + 1`, or `x + 1` for short.",
    "typed at a prompt": ">>> def f(x):\n...     return x + 1\n...\n>>> f(1)\n2\n",
    "a tag": f"<code>\n{CODE}</code>",
    "a tag on the same line": "The answer: <code>def f(x): return x + 1</code>",
    "tags of HTML": f'<pre><code class="language-python">{CODE}</code></pre>',
    "an answer": f"<think>x</think>\n<answer>\n{F}python\n{CODE}{F}\n</answer>",
    "an answer that ends with its fence": f"<answer>{F}python\n{CODE}{F}</answer>",
    "an answer of code alone": f"I thought.\n<answer>\n{CODE}</answer>",
    "a draft before the answer": f"{F}python\n{DRAFT}# long\n{F}\n<answer>\n{CODE}</answer>",
    "entities": f"{F}python\ndef f(x):\n    return x + 1 if x &lt; 5 else x + 1\n{F}",
    "entities that parse": f"{F}python\ndef f(x):\n    y = x &lt; 5; return x + 1\n{F}",
    "blanks that are none": f"{F}python\ndef f(x):\n\xa0\xa0\xa0\xa0return x + 1\n{F}",
    "a thought of the template": f"so we add\n</think>\n{F}python\n{CODE}{F}",
    "a thought with a draft": f"<think>\n{F}python\n{DRAFT}# longer\n{F}\n</think>\n{CODE}",
    "a thought with a block left open": (
        f"<think>\n{F}python\n{DRAFT}# longer\n</think>\n\n{F}python\n{CODE}{F}\n"
    ),
    "a template's thought, a block left open": (
        f"So\n{F}python\n{DRAFT}# longer\n</think>\n\n{F}python\n{CODE}{F}\n"
    ),
    "the tag spoken of behind": f"<think>a</think>\n{F}python\n{CODE}{F}\nI closed </think> above.",
    "the tag spoken of, no thought": f"{F}python\n{CODE}{F}\nI need no </think> tag.",
    "the tag spoken of within": f"<think>a </think> ends it\nb\n</think>\n{F}\n{CODE}{F}",
    "the tag quoted within": f"<think>\nthe mark `</think>` ends\n</think>\n{F}\n{CODE}{F}",
    "the tag in code": f"{F}python\ndef f(x):\n    '''Strips </think>.'''\n    return x + 1\n{F}",
    "the tag in code alone": "def f(x):\n    '''<think>\n</think>'''\n    return x + 1\n",
    "the tag on a line of code": f"{F}python\nT = '''\n</think>\n'''\n{CODE}{F}",
    "both doubled": f"<think>\n<think>\na\n</think>\n</think>\n{F}python\n{CODE}{F}",
    "a closing tag at the end": f"<think>\na\n</think>\n{F}python\n{CODE}{F}\n</think>\n",
    "two thoughts": f"<think>\na\n</think>\nHm.\n<think>\nb\n</think>\n{F}python\n{CODE}{F}",
    "another name of the tag": f"<thinking>\n{F}\n{DRAFT}{F}\n</thinking>\n{F}\n{CODE}{F}",
}


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("reply", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_the_function_is_found_and_nothing_else_is_run(reply, known, capsys):
    assert value(extract_program(reply, ["f"] if known else ())) == 2
    assert capsys.readouterr().out == ""


# Replies without a program.
EMPTY = {
    "nothing": "",
    "blanks": "\n \n",
    "a refusal": "I cannot help with that.",
    "a word": "nonsense",
    "prose that parses": "not sure",
    "a thought that does not end": f"<think>plan\n{F}python\n{CODE}{F}\nlet me check",
    "only a thought": f"<think>maybe\n{F}python\n{CODE}{F}\nno\n</think>\nThe answer is obvious.",
    "a template's thought alone": f"maybe\n{F}python\n{CODE}{F}\n</think>\nThe answer is obvious.",
    "output alone": f"It prints\n{F}\n2\n{F}\n",
    "commands alone": f"{F}bash\npython f.py\n{F}\n",
}


@pytest.mark.parametrize("reply", EMPTY.values(), ids=EMPTY.keys())
def test_prose_output_and_thoughts_hold_no_program(reply):
    assert extract_program(reply, ["f"]) == ""
    assert extract_program(reply, script=True) == ""


# Replies whose script is SCRIPT.
SCRIPTS = {
    "alone": SCRIPT,
    "fenced": f"Here:\n{F}python\n{SCRIPT}{F}\nDone.",
    "with a sample": f"{F}\n{SCRIPT}{F}\nInput:\n{F}\n1\n{F}\nOutput:\n{F}\n2\n{F}\n",
    "prose around": f"Read it, add one.\n\n{SCRIPT}\nThat is all.",
    "a longer test that reads nothing": (
        f"{F}python\n{SCRIPT}{F}\nTest:\n{F}python\nfor case in [1, 2, 3]:\n    print(case + 1)\n"
        f"    print('as it should be, and more')\n{F}\n"
    ),
}


@pytest.mark.parametrize("reply", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_a_script_needs_no_function(reply):
    assert extract_program(reply, script=True).strip() == SCRIPT.strip()
    assert extract_program(reply).strip() == SCRIPT.strip()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("n = int(input())\n", "print(n + 1)\n"),
        ("def main():\n    print(int(input()) + 1)\n", "main()\n"),
        ("def main():\n    print(int(input()) + 1)\n", "if __name__ == '__main__':\n    main()\n"),
    ],
)
def test_a_script_in_two_parts_is_joined(first, second):
    reply = f"{F}python\n{first}{F}\nThen:\n{F}python\n{second}{F}\n"
    assert extract_program(reply, script=True) == f"{first}\n{second}"


def test_what_the_tests_call_decides_among_blocks_and_the_last_of_several_is_the_answer():
    wrong = f"{F}python\ndef g(x):\n    return [x for x in range(100) if x % 7]\n{F}\n"
    assert extract_program(f"{F}python\n{CODE}{F}\n{wrong}", ["f"]) == CODE
    draft = f"{F}python\ndef f(x):\n    return x if x > 5 else x * 2 - 7\n{F}\n"
    assert extract_program(f"{draft}No, better:\n{F}\n{CODE}{F}\n", ["f"]) == CODE
    stub = f"{F}python\ndef f(x):\n    '''Adds one.'''\n    ...\n{F}\n"
    assert extract_program(f"{F}python\n{CODE}{F}\nFill in\n{stub}", ["f"]) == CODE
    # Without the names the longest that parses.
    assert extract_program(f"{draft}{F}python\nf = (\n{' ' * 200}1\n{F}\n") in draft


def test_several_functions_that_the_tests_call_may_stand_in_several_blocks():
    reply = f"{F}python\n{CODE}{F}\n{F}python\ndef g(x):\n    return x\n{F}\n"
    assert extract_program(reply, ["f", "g"]) == f"{CODE}\ndef g(x):\n    return x\n"


@pytest.mark.parametrize(
    "reply",
    [
        f"{F}python\ndef f(x)\n    return x\n{F}\nDone.",
        "def f(x)\n    return x\n",
        f"{F}python\ndef f(x:\n    return '\n",
    ],
)
def test_a_program_with_an_error_in_it_stays_as_it_is(reply):
    found = extract_program(reply, ["f"])
    assert found.startswith("def f(x")
    assert found in reply


@pytest.mark.parametrize(
    "code",
    [
        CODE,
        "def f(x):\r\n    return x\r\n".replace("\r", ""),
        f"def f(x):\n    '''Such as\n{F}python\nf(1)\n{F}\n    '''\n    return x\n",
        "def f(x):\n    return x.split('</think>')[-1]\n",
        "def f(x):\n    return '<answer>1</answer> &lt; 2'\n",
        "# <think>\nx = 1\n",
    ],
)
def test_a_reply_that_is_python_is_the_program_to_the_last_character(code):
    assert extract_program(code) == code
    assert extract_program(f"<think>\na\n</think>\n\n{F}python\n{code}{F}\n") == code


@pytest.mark.parametrize(
    "reply",
    [
        "[1, 2]",
        "<think>\n[3]\n</think>\nThe list grows.\n```python\n[1, 2]\n```\nThat is it.",
        "f adds two.\n[ANSWER]\n[1, 2]\n[/ANSWER]",
        "<answer>[1, 2]</answer>",
        "So it returns\n`[1, 2]`",
    ],
)
def test_a_value_that_is_asked_for_is_quoted_as_it_stands(reply):
    assert quoted_answer(reply) == "[1, 2]"
