"""Programs of problems whose prompt is the beginning of a program, as HumanEval's. Pure.

What the prompt imports and defines is the program's too, whether the answer goes on behind the
prompt, gives the whole function anew, or gives the function's body alone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Sequence

from seedbed.sandbox import python_source

_FUNCTION = re.compile(r"^(?:async[ \t]+)?def[ \t]+(\w+)[ \t]*\(", re.MULTILINE)


def whole(prompt: str, names: Collection[str], program: str) -> str:
    """The program that runs for an answer to a prompt.

    names: the functions that are asked for; empty means the last one of the prompt. A program that
    begins with the prompt stays as it is. One that defines such a function gets what the prompt
    defines besides it. Any other is the function's rest, and is put behind the prompt, indented
    where it is not.
    """
    asked = set(names) or _last_function(prompt)
    tree = python_source.tree(program)
    # A function with an error in it is no function's rest.
    defined = set(_FUNCTION.findall(program)) if tree is None else _defined(tree)
    if program.startswith(prompt) or asked & defined:
        return with_preamble(prompt, program, asked)
    first = next((line for line in program.split("\n") if line.strip()), "")
    if not first or first[0].isspace() or not prompt.endswith("\n"):
        return prompt + program
    return prompt + "".join(f"    {line}" for line in program.splitlines(keepends=True))


def with_preamble(prompt: str, program: str, names: Collection[str] = ()) -> str:
    """A whole program with what the prompt imports and defines besides the functions `names`.

    Empty names mean the last function of the prompt. A program that begins with the prompt has all.
    One that does not parse stays as it is, so that its error names its own line.
    """
    # An empty prompt is the beginning of every program.
    if program.startswith(prompt) or python_source.is_broken(program):
        return program
    return joined([preamble(prompt, names or _last_function(prompt)), program])


def preamble(prompt: str, names: Collection[str]) -> str:
    """What a prompt imports and defines besides the functions that it asks for."""
    tree = python_source.tree(prompt)
    lines = prompt.splitlines(keepends=True)
    if tree is None:
        # The prompt ends within the function. What stands before the function still holds.
        starts = [m.start() for m in _FUNCTION.finditer(prompt) if m[1] in names]
        return prompt[: starts[-1]] if starts else ""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in names:
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            end = node.end_lineno or first
            lines[first - 1 : end] = [""] * (end - first + 1)
    return "".join(lines)


def joined(parts: Sequence[str]) -> str:
    """One program of several texts, in order. Python wants imports from __future__ before all."""
    futures: list[str] = []
    bodies: list[str] = []
    for part in parts:
        lines = part.split("\n")
        tree = python_source.tree(part)
        for node in tree.body if tree else ():
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                futures.append(ast.unparse(node) + "\n")
                for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                    lines[number] = ""
        bodies.append("\n".join(lines))
    text = "\n".join(body if body.endswith("\n") else body + "\n" for body in bodies if body)
    return "".join(dict.fromkeys(futures)) + text


def _last_function(prompt: str) -> set[str]:
    return set(_FUNCTION.findall(prompt)[-1:])


def _defined(tree: ast.Module) -> set[str]:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    names = {node.name for node in tree.body if isinstance(node, kinds)}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names
