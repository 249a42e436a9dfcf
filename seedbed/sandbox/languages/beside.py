"""Tests in the program's own process, where they could not be taken apart.

A pass needs exit status 0 and a token, new for each run, that stands where the tests end. So a
program that leaves early does not pass. But it shares its process with the tests, and could read
the token there, or replace what they compare with. Verdict.weakened names such verdicts.
"""

from __future__ import annotations

import re

from seedbed.sandbox.languages.sealing import go
from seedbed.sandbox.languages.sealing.calls import MARK

# The end of a main function that may return.
_END = re.compile(r"(?:return\s+0\s*;\s*)?\}\s*$")
_END_OF_CLASS = re.compile(r"\}\s*\}\s*$")
_MAIN_OF_C = re.compile(r"^int main\s*\(", re.M)


def with_token(language: str, program: str, tests: str, token: str) -> str:
    """The whole source: the program, its tests, and the token that they print at their end."""
    said = f"{MARK}{token}".replace(MARK, "\\001" if language in ("c", "cpp") else "\\u0001")
    if language in ("javascript", "typescript"):
        return f"{program}\n{tests}\nconsole.log('\\n{said}');\n"
    if language == "go":
        return go.as_main(f"{program}\n{tests}\n{_main_of_go(tests, said)}")
    if language == "java":
        return f"{program}\n" + _END_OF_CLASS.sub(
            lambda end: f'System.out.println("\\n{said}");\n{end[0]}', tests
        )
    if language == "rust":
        said = said.replace("\\u0001", "\\u{1}")
        return f"{program}\n" + _END.sub(lambda end: f'println!("\\n{said}");\n{end[0]}', tests)
    # A program may have switched assert off, or made it something else.
    again = "#undef NDEBUG\n#undef assert\n#include <assert.h>\n#include <stdio.h>\n"
    tests = _MAIN_OF_C.sub(lambda main: again + main[0], tests, count=1)
    return f"{program}\n" + _END.sub(lambda end: f'printf("\\n{said}\\n");\n{end[0]}', tests)


def _main_of_go(tests: str, said: str) -> str:
    """What `go test` does with the test functions, with the package testing alone."""
    names = re.findall(r"^func (Test\w+)\(", tests, re.M)
    calls = "".join(f"\t\t{name}(t)\n" for name in names)
    return (
        "func main() {\n"
        "\tall := func(pattern, name string) (bool, error) { return true, nil }\n"
        f"\tone := func(t *testing.T) {{\n{calls}"
        f'\t\tif !t.Failed() {{\n\t\t\tfmt.Println("\\n{said}")\n\t\t}}\n\t}}\n'
        '\ttesting.Main(all, []testing.InternalTest{{"Tests", one}}, nil, nil)\n}\n'
    )
