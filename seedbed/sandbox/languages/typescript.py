"""TypeScript, by tsc, and then Node.

Types are not checked for a verdict: as in MultiPL-E (`tsc` writes JavaScript in spite of type
errors), what the program does decides. A fault in the syntax ends in a compiler error.
"""

from __future__ import annotations

import os

from seedbed.sandbox.languages import host_tools, javascript
from seedbed.sandbox.languages.language import Language, Stage, Toolchain

_INSTALL = "npm install -g typescript"
# Only the syntax is read: one file, no libraries, no look for other modules.
_TRANSPILE = """
const ts = require(process.argv[2]), fs = require('fs');
const done = ts.transpileModule(fs.readFileSync('main.ts', 'utf8'), {
  reportDiagnostics: true, fileName: 'main.ts',
  compilerOptions: {target: 'ES2022', module: 'CommonJS', esModuleInterop: true}});
fs.writeFileSync('main.js', done.outputText);
for (const d of done.diagnostics) {
  const at = d.file ? d.file.getLineAndCharacterOfPosition(d.start).line + 1 : 0;
  console.error(`main.ts:${at}: ${ts.flattenDiagnosticMessageText(d.messageText, ' ')}`);
}
process.exit(done.diagnostics.length ? 1 : 0);
"""


def _toolchain() -> Toolchain:
    path, version = javascript.node()
    # .../typescript/bin/tsc
    home = os.path.dirname(os.path.dirname(host_tools.tool("tsc", _INSTALL)))
    library = f"{home}/lib/typescript.js"
    said = host_tools.ask(path, f"{home}/bin/tsc", "--version")
    compiler = javascript.stage(path, "--eval")
    command = (path, "--eval", _TRANSPILE, "transpile", library)
    mounts = host_tools.join(compiler.mounts, host_tools.folders(home))
    return javascript.runtime(
        path, f"TypeScript {said.split()[-1]}, {version}", Stage(command, mounts, compiler.env)
    )


LANGUAGE = Language(
    "typescript",
    "TypeScript",
    "main.ts",
    _toolchain,
    others=("ts",),
    memory_words=javascript.MEMORY_WORDS,
)
