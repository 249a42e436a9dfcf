"""Rust tests: `assert_eq!(candidate(...), ...);` in main."""

from __future__ import annotations

import re

from seedbed.sandbox.languages.sealing.calls import Sealed, cases

# Maps have no order of their own, so they are shown as sorted ones.
_SHOW = """
mod seedbed_shows {
    pub fn line<T: std::fmt::Debug>(value: T) {
        println!("\\n\\u{1}{}", format!("{:?}", value).replace("\\u{1}", ""));
    }
    pub fn expect<T: std::fmt::Debug, F: Fn() -> T>(_: F, value: T) { line(value); }
}
"""
_MAP = re.compile(r"->\s*(?:std::collections::)?Hash(?:Map|Set)\s*<")


def seal(prompt: str, tests: str) -> Sealed | None:
    """The tests taken apart; None where they are not of that form."""
    name = re.search(r"let candidate = (\w+);", tests)
    found = cases(tests, r"assert_eq!\(candidate\(", r",\s*", r"\);\s*$")
    main = re.search(r"^fn main\(\s*\)", tests, re.M)
    if name is None or main is None or not found or len(found) != tests.count("assert"):
        return None
    if "HashMap" in prompt.split("->")[-1] and not _MAP.search(prompt):
        # A map inside of another value has an order that differs from run to run.
        return None
    turn = ""
    if _MAP.search(prompt):
        kind = "BTreeMap<_, _>" if "HashMap" in prompt.split("->")[-1] else "BTreeSet<_>"
        turn = f".into_iter().collect::<std::collections::{kind}>()"
    head, call = tests[: main.start()], name[1]
    answers = "".join(
        f"    seedbed_shows::line({call}({case.arguments}){turn});\n" for case in found
    )
    expected = "".join(
        f"    seedbed_shows::expect(|| {call}({case.arguments}){turn}, ({case.expected}){turn});\n"
        for case in found
    )
    return Sealed(
        len(found),
        f"{head}{_SHOW}fn main() {{\n{answers}}}\n",
        f"{prompt}\n    unimplemented!()\n{head}{_SHOW}fn main() {{\n{expected}}}\n",
    )
