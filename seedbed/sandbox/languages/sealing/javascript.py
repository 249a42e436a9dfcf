"""JavaScript and TypeScript tests: `assert.deepEqual(candidate(...),...);` in a function.

That comparison is loose (1 equals true), so it is made by Node itself: in a jail of its own, where
the data set's tests run as they are, on a stand-in that gives the answers of the program again.
"""

from __future__ import annotations

import json
import re

from seedbed.sandbox.languages.sealing.calls import Sealed, cases

# Values as JSON with a tag each; what has no plain form equals nothing.
_WRITE = """
function seedbedWrites(v, depth = 0) {
  if (depth > 200) return ['?'];
  if (v === undefined) return ['u'];
  if (v === null || typeof v === 'boolean' || typeof v === 'string') return ['v', v];
  if (typeof v === 'number') return ['n', Object.is(v, -0) ? '-0' : String(v)];
  if (typeof v === 'bigint') return ['b', String(v)];
  const all = (list) => Array.from(list, (x) => seedbedWrites(x, depth + 1));
  if (Array.isArray(v)) return ['a', all(v)];
  if (v instanceof Map) return ['m', Array.from(v, (pair) => all(pair))];
  if (v instanceof Set) return ['s', all(v)];
  const kind = typeof v === 'object' ? Object.getPrototypeOf(v) : undefined;
  if (kind === Object.prototype || kind === null)
    return ['o', Object.keys(v).map((key) => [key, seedbedWrites(v[key], depth + 1)])];
  return ['?'];
}
"""
_READ = """
function seedbedReads(w) {
  switch (w[0]) {
    case 'v': return w[1];
    case 'u': return undefined;
    case 'n': return Number(w[1]);
    case 'b': return BigInt(w[1]);
    case 'a': return w[1].map(seedbedReads);
    case 'm': return new Map(w[1].map((pair) => pair.map(seedbedReads)));
    case 's': return new Set(w[1].map(seedbedReads));
    case 'o': return Object.fromEntries(w[1].map((pair) => [pair[0], seedbedReads(pair[1])]));
  }
  return Symbol('no plain value');
}
"""


def seal(prompt: str, tests: str, typed: bool = False) -> Sealed | None:
    """The tests taken apart; None where they are not of that form.

    typed: for TypeScript, which needs a type for what it would infer as unknown.
    """
    name = re.search(r"let candidate = (\w+);", tests)
    found = cases(tests, r"assert\.deepEqual\(candidate\(", r",\s*", r"\);\s*$")
    start = re.search(r"^function test\(\s*\)", tests, re.M)
    if name is None or start is None or not found or len(found) != tests.count("assert."):
        return None
    head, call, kind = tests[: start.start()], name[1], ": any" if typed else ""
    write = _WRITE.replace("(v, depth", f"(v{kind}, depth").replace("(list)", f"(list{kind})")
    if typed:
        write = write.replace("depth = 0) {", "depth: number = 0): any {")
        write = write.replace("(x) =>", "(x: any) =>").replace("(pair) =>", "(pair: any) =>")
    answers = "".join(
        f"console.log('\\n\\x01' + JSON.stringify(seedbedWrites({call}({case.arguments}))));\n"
        for case in found
    )

    def judge(given: list[str]) -> str:
        values = json.dumps(given)
        return (
            f"const seedbedAnswers{': any' if typed else ''} = {values}.map((t{kind}) => "
            f"seedbedReads(JSON.parse(t)));\n"
            f"let seedbedAt = 0;\n{_READ.replace('(w)', f'(w{kind}){kind}')}"
            f"function {call}(...ignored{': any[]' if typed else ''}){kind} "
            "{ return seedbedAnswers[seedbedAt++]; }\n"
        ).replace("(pair) =>", f"(pair{kind}) =>") + tests

    return Sealed(len(found), f"{head}{write}{answers}", judge=judge)
