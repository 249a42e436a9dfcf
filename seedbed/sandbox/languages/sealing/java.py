"""Java tests: `assert(name(...) == (...));` or `.equals((...))` in the main of class Problem."""

from __future__ import annotations

import re

from seedbed.sandbox.languages.sealing.calls import Case, Sealed, cases

# Writes a value so that two texts are equal where == or equals holds.
_SHOW = """
    static String seedbedText(Object v) {
        if (v instanceof Number n) {
            if (v instanceof Float || v instanceof Double) {
                double d = n.doubleValue();
                return d == Math.rint(d) && Math.abs(d) < 9e15
                    ? Long.toString((long) d) : Double.toHexString(d);
            }
            return v.toString();
        }
        StringBuilder out = new StringBuilder();
        if (v instanceof String || v instanceof Character) {
            for (char c : v.toString().toCharArray()) out.append((int) c).append('.');
            return "'" + out + "'";
        }
        if (v instanceof java.util.Map<?, ?> m) {
            var lines = new java.util.TreeSet<String>();
            m.forEach((key, value) -> lines.add(seedbedText(key) + ":" + seedbedText(value)));
            return lines.toString();
        }
        if (v instanceof java.util.Set<?> s) {
            var lines = new java.util.TreeSet<String>();
            s.forEach(x -> lines.add(seedbedText(x)));
            return lines.toString();
        }
        if (v instanceof Iterable<?> all) {
            for (Object x : all) out.append(seedbedText(x)).append(',');
            return "[" + out + "]";
        }
        if (v instanceof java.util.Optional<?> o)
            return o.isPresent() ? "some " + seedbedText(o.get()) : "none";
        return v == null || v instanceof Boolean ? String.valueOf(v) : v.toString();
    }
    static void seedbedShows(Object v) { System.out.println("\\n\\u0001" + seedbedText(v)); }
"""
_MAIN = re.compile(r"^\s*public static void main\(String\[\] args\) (?:throws \w+ )?\{", re.M)


def seal(prompt: str, tests: str) -> Sealed | None:
    """The tests taken apart; None where they are not of that form."""
    name, main = re.search(r"assert\((\w+)\(", tests), _MAIN.search(tests)
    if name is None or main is None:
        return None
    begin = rf"assert\({name[1]}\("
    found = _any(tests, begin)
    if not found or len(found) != tests.count("assert("):
        return None
    head = tests[: main.start()]
    answers = "".join(f"    seedbedShows({name[1]}({case.arguments}));\n" for case in found)
    expected = "".join(f"    seedbedShows({case.expected});\n" for case in found)
    start = "    public static void main(String[] args) throws Exception {\n"
    stub = f"{prompt}\n        throw new IllegalStateException();\n"
    return Sealed(
        len(found),
        f"{head}{_SHOW}{start}{answers}    }}\n}}\n",
        f"{stub}{head}{_SHOW}{start}{expected}    }}\n}}\n",
    )


def _any(tests: str, begin: str) -> list[Case]:
    """Cases that compare by == or by equals, in their order."""
    lines = [line for line in tests.splitlines() if re.search(begin, line)]
    found = []
    for line in lines:
        one = cases(line, begin, r" == ", r"\);\s*$") or cases(
            line, begin, r"\.equals\(", r"\)\);\s*$"
        )
        found += one
    return found
