"""TypeScript, by tsc, and then Node.

A program that reads stdin needs the types of Node, which a host seldom has: there the syntax alone
is checked. Tests beside a program bring what they need, so types are checked as MultiPL-E does
(https://github.com/nuprl/MultiPL-E, src/eval_ts.py: a type error is a failure).
"""

from __future__ import annotations

import os

from seedbed.sandbox.languages import host_tools, javascript
from seedbed.sandbox.languages.language import Invocation, Language, Toolchain

_INSTALL = "npm install -g typescript"
_COMPILE = """
const ts = require(process.argv[2]), fs = require('fs'), types = process.argv[3] === 'yes';
const options = {target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.CommonJS,
  esModuleInterop: true, types: [], noEmitOnError: false};
let found;
if (types) {
  const all = ts.createProgram(['main.ts'], options);
  found = ts.getPreEmitDiagnostics(all);
  all.emit();
} else {
  const done = ts.transpileModule(fs.readFileSync('main.ts', 'utf8'),
    {reportDiagnostics: true, fileName: 'main.ts', compilerOptions: options});
  fs.writeFileSync('main.js', done.outputText);
  found = done.diagnostics;
}
for (const d of found.slice(0, 20)) {
  const at = d.file ? d.file.getLineAndCharacterOfPosition(d.start).line + 1 : 0;
  console.error(`main.ts:${at}: ${ts.flattenDiagnosticMessageText(d.messageText, ' ')}`);
}
process.exit(found.length ? 1 : 0);
"""


def _toolchain() -> Toolchain:
    path, version = javascript.node()
    # .../typescript/bin/tsc
    home = os.path.dirname(os.path.dirname(host_tools.tool("tsc", _INSTALL)))
    library = f"{home}/lib/typescript.js"
    said = host_tools.ask(path, f"{home}/bin/tsc", "--version")
    compiler = javascript.stage(path, "--eval")
    command = (path, "--eval", _COMPILE, "compile", library, "{beside}")
    mounts = host_tools.join(compiler.mounts, host_tools.folders(home))
    return javascript.runtime(
        path, f"TypeScript {said.split()[-1]}, {version}", Invocation(command, mounts, compiler.env)
    )


LANGUAGE = Language(
    "typescript",
    "TypeScript",
    "main.ts",
    _toolchain,
    others=("ts",),
    memory_words=javascript.MEMORY_WORDS,
)
