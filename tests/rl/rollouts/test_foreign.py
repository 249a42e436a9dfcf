"""Programs in other languages than Python: the fences and their labels decide."""

from __future__ import annotations

import pytest

from rl.rollouts.foreign import extract_source, whole_source

F = "```"
CODE = "#include <iostream>\nint main() { std::cout << 1; }\n"
PROMPT = "#include <vector>\n// Adds one.\nlong f(long x) {\n"


@pytest.mark.parametrize(
    "reply",
    [
        CODE,
        f"{F}cpp\n{CODE}{F}\n",
        f"So:\n{F}C++\n{CODE}{F}\nOutput:\n{F}\n{'1 ' * 60}\n{F}\n",
        f"{F}bash\ng++ -O2 -Wall -Wextra -std=c++17 -o main main.cpp && ./main\n{F}\n"
        f"{F}cc\n{CODE}{F}\n",
        f"<think>\n{F}cpp\nint main() {{}} // {'long ' * 20}\n{F}\n</think>\n{F}cpp\n{CODE}{F}\n",
        f"{F}\n{CODE}{F}\n",
        f"{CODE}{F}\nIt prints one.",
        f"{CODE}~~~\nIt prints one.",
        # Of two that are as long the later one counts.
        f"{F}cpp\n{CODE.replace('1', '2')}{F}\nNo:\n{F}cpp\n{CODE}{F}\n",
        f"{F}cpp\n{CODE}",
        f"{F}cpp\r\n{CODE}{F}".replace("\n", "\r\n").replace("\r\r", "\r"),
    ],
)
def test_the_block_with_the_languages_label_is_the_program(reply):
    assert extract_source(reply, "cpp") == CODE


@pytest.mark.parametrize(
    ("language", "label"),
    [("c", "h"), ("cpp", "HPP"), ("javascript", "mjs"), ("go", "Golang"), ("lua", "Lua")],
)
def test_a_label_is_any_name_of_the_language(language, label):
    reply = f"{F}text\n{'words ' * 40}\n{F}\n{F}{label}\n{CODE}{F}\n"
    assert extract_source(reply, language) == CODE


def test_another_language_and_a_thought_without_end_hold_no_program():
    assert extract_source(f"{F}python\nprint(1)\n{F}\n", "cpp") == ""
    assert extract_source(f"<think>\n{F}cpp\n{CODE}{F}\n", "cpp") == ""
    assert extract_source("", "cpp") == ""


def test_a_rest_goes_behind_the_prompt_and_a_whole_function_gets_what_stands_above_it():
    rest = "    return x + 1;\n}\n"
    assert whole_source(PROMPT, rest) == PROMPT + rest
    function = f"long f(long x) {{\n{rest}"
    assert whole_source(PROMPT, function) == f"#include <vector>\n// Adds one.\n{function}"
    assert whole_source(PROMPT, PROMPT + rest) == PROMPT + rest
    # What the answer repeats of the prompt does not come twice.
    some = f"#include <vector>\n\n{function}"
    assert whole_source(PROMPT, some) == f"// Adds one.\n{some}"
