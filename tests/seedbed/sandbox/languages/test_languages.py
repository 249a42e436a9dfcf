"""Programs in other languages by stdin and stdout: right ones pass, and a fault has its name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from seedbed.sandbox import Job, Limits, Sandbox, StdioTests, Verdict
from seedbed.sandbox.judge import Finding
from seedbed.sandbox.languages import LANGUAGES, by_any_name, commands, installed, java
from seedbed.sandbox.languages.compilations import Compilations, Compiled
from seedbed.sandbox.languages.language import MissingTool

# Reads two numbers and prints their sum.
SUMS = {
    "c": '#include <stdio.h>\nint main(void) { int a, b; scanf("%d %d", &a, &b);'
    ' printf("%d\\n", a + b); }',
    "cpp": "#include <iostream>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b; }",
    "java": "import java.util.*;\npublic class Sum {\n  static class Inner { }\n"
    "  public static void main(String[] x) {\n    Scanner s = new Scanner(System.in);\n"
    "    System.out.println(s.nextInt() + s.nextInt());\n  }\n}\n",
    "javascript": "const [a, b] = require('fs').readFileSync('/dev/stdin', 'utf8').split(' ');\n"
    "console.log(Number(a) + Number(b));",
    "typescript": "import * as fs from 'fs';\n"
    "const xs: number[] = fs.readFileSync(0, 'utf8').split(' ').map(Number);\n"
    "console.log(xs[0] + xs[1]);",
    "go": 'package main\n\nimport "fmt"\n\nfunc main() {\n\tvar a, b int\n'
    "\tfmt.Scan(&a, &b)\n\tfmt.Println(a + b)\n}\n",
    "rust": "use std::io;\nfn main() {\n    let mut s = String::new();\n"
    "    io::stdin().read_line(&mut s).unwrap();\n"
    "    let v: Vec<i64> = s.split_whitespace().map(|x| x.parse().unwrap()).collect();\n"
    '    println!("{}", v[0] + v[1]);\n}\n',
}
TESTS = StdioTests(("3 4\n", "-10 3\n"), ("7\n", "-7\n"))
each_language = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("c", "cpp", "javascript") else pytest.mark.slow)
        for name in LANGUAGES
    ],
)


def judged(sandbox: Sandbox, language: str, program: str, tests: StdioTests = TESTS) -> Verdict:
    return sandbox.run([Job("t", program, tests, language=language)])[0]


@each_language
def test_a_right_program_passes_and_a_wrong_one_fails(
    polyglot: Sandbox, needs: Callable[[str], None], name: str
) -> None:
    needs(name)
    right = judged(polyglot, name, SUMS[name])
    assert (right.verdict, right.reason, right.weakened) == ("pass", "", "")
    assert right.cpu_seconds > 0
    assert right.max_rss_bytes > 0
    text = SUMS[name]
    at = max(text.rfind(" + "), 0)
    wrong = judged(polyglot, name, f"{text[:at]} - {text[at + 3 :]}")
    assert wrong.verdict == "fail"
    assert wrong.reason == "case 0: line 1: expected '7', got '-1'"


@each_language
def test_what_does_not_parse_is_an_error_in_the_words_of_its_compiler(
    polyglot: Sandbox, needs: Callable[[str], None], name: str
) -> None:
    needs(name)
    found = judged(polyglot, name, SUMS[name].replace("(", "((", 1))
    assert found.verdict == "error"
    assert ("does not compile" in found.reason) != (name == "javascript")
    assert LANGUAGES[name].file in found.reason or name == "java"


@each_language
def test_without_namespaces_a_verdict_is_weaker_and_says_so(
    needs: Callable[[str], None], name: str
) -> None:
    needs(name)
    with Sandbox(1, Limits(), "rlimits-only") as weak:
        found = judged(weak, name, SUMS[name])
    assert (found.verdict, found.weakened) == ("pass", "rlimits-only")


def test_deep_recursion_and_much_memory_are_no_fault(
    polyglot: Sandbox, needs: Callable[[str], None]
) -> None:
    needs("cpp")
    deep = (
        "#include <cstdio>\n#include <vector>\nlong walk(std::vector<int>& next, long at) {\n"
        "  return next[at] < 0 ? at : walk(next, next[at]) + 1; }\n"
        "int main() { std::vector<int> next(900000); for (int i = 0; i < 900000; i++)\n"
        '  next[i] = i + 1; next.back() = -1; printf("%ld", walk(next, 0)); }'
    )
    found = judged(polyglot, "cpp", deep, StdioTests(("",), ("1799998",)))
    assert found.verdict == "pass", found


def test_a_crash_is_an_error_with_what_the_program_said(
    polyglot: Sandbox, needs: Callable[[str], None]
) -> None:
    needs("javascript")
    found = judged(polyglot, "javascript", "null.x;\n")
    assert found.verdict == "error"
    assert "TypeError: Cannot read properties of null" in found.reason


def test_a_missing_tool_is_no_verdict_on_the_program_and_says_how_to_install_it(
    polyglot: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = MissingTool("rustc is not installed: https://rustup.rs")
    monkeypatch.setitem(installed._found, "rust", missing)
    found = judged(polyglot, "rust", SUMS["rust"])
    assert (found.verdict, found.reason) == ("infrastructure", str(missing))
    assert installed.missing(["rust", "python", "rust"]) == [f"Rust: {missing}"]
    assert installed.check()["Rust"] == (False, str(missing))


def test_a_tool_that_is_not_on_the_path_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for name, language in LANGUAGES.items():
        with pytest.raises(MissingTool, match="is not installed: "):
            language.find()
        assert by_any_name(name) is language


def test_a_program_is_compiled_once_and_a_fault_of_ours_is_not_kept() -> None:
    kept, made = Compilations(), []

    def make() -> Compiled:
        made.append(1)
        fault = Finding("infrastructure", "lost") if len(made) == 1 else None
        return Compiled((("program", b"x"),), 0.5, fault)

    assert kept.get(("g++ 12", "int main() {}"), make).fault is not None
    assert kept.get(("g++ 12", "int main() {}"), make).fault is None
    assert kept.get(("g++ 12", "int main() {}"), make).cpu == 0.5
    assert len(made) == 2
    # No two keys run together.
    kept.get(("g++ 12int", " main() {}"), make)
    assert len(made) == 3


def test_the_class_with_main_is_what_java_runs() -> None:
    source = (
        "package a.b;\nclass Other { }\npublic final class Top {\n static void main(String[] x)"
    )
    assert java.layout(source.replace("static", "public static")) == {
        "file": "Top.java",
        "main": "a.b.Top",
    }
    plain = "class Helper { int x; }\nclass Task { public static void main(String[] x) { } }"
    assert java.layout(plain) == {"file": "Main.java", "main": "Task"}


def test_a_reason_holds_the_beginning_of_what_a_compiler_says() -> None:
    said = commands._last_words(b"main.c:1: error\n" + b"x" * 5000)
    assert said.startswith("main.c:1: error")
    assert len(said) < 400
