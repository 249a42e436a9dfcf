"""Shell completion of the console script: commands, config files and keys of the config.

    eval "$(seedbed completion bash)"          # in ~/.bashrc; zsh alike in ~/.zshrc
    seedbed completion fish | source           # in ~/.config/fish/config.fish

The scripts are short: they hand the words typed so far to `seedbed __complete`, which prints one
candidate per line. Keys come from the dataclasses in conf/schema, so they are never out of date.
"""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any, get_type_hints

from conf.errors import SeedbedError
from seedbed.cli import OWN, ROOT
from seedbed.commands import COMMANDS, Command

# bash splits a word at `=`, so what stands in front of the last `=` is taken off the candidates.
_BASH = """\
_seedbed() {
    local line="${COMP_LINE:0:COMP_POINT}" typed word
    read -r -a typed <<< "$line"
    [[ $line == *[[:space:]] ]] && typed+=("")
    word="${typed[-1]}"
    mapfile -t COMPREPLY < <("$1" __complete "${typed[@]:1}" 2>/dev/null)
    [[ $word == *=* ]] && COMPREPLY=("${COMPREPLY[@]#"${word%=*}="}")
    [[ ${COMPREPLY[0]} == *[=./] ]] && compopt -o nospace
    return 0
}
complete -o default -F _seedbed seedbed
"""
_ZSH = """\
#compdef seedbed
_seedbed() {
    local -a found
    found=(${(f)"$($words[1] __complete "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( ! ${#found} )); then
        compset -P '*='
        _files
        return
    fi
    compadd -Q -S '' -- ${(M)found:#*[=./]}
    compadd -Q -- ${found:#*[=./]}
}
compdef _seedbed seedbed
"""
_FISH = """\
function __seedbed
    set -l typed (commandline -opc)
    $typed[1] __complete $typed[2..] (commandline -ct) 2>/dev/null
end
complete -c seedbed -f -a '(__seedbed)'
complete -c seedbed -n 'not __seedbed | string length -q' -F
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
COMMON = ("--config", "--dry-run", "--help")


def script(arguments: list[str]) -> str:
    """The completion script of one shell.

    Raises SeedbedError unless `arguments` is one known shell.
    """
    if len(arguments) != 1 or arguments[0] not in SCRIPTS:
        raise SeedbedError(
            f"completion takes the name of one shell, got {' '.join(arguments) or 'nothing'}",
            f"seedbed completion {' | '.join(SCRIPTS)}",
        )
    return SCRIPTS[arguments[0]]


def answer(words: list[str]) -> str:
    """Candidates for the last of `words`, one per line; the word may be empty."""
    return "".join(f"{candidate}\n" for candidate in candidates(words or [""]))


def candidates(words: list[str]) -> list[str]:
    """What the last of `words` can become; empty where only a file name fits."""
    *before, word = words
    if not before:
        offered = [*COMMANDS, *OWN, "--help"]
    elif before[0] in OWN:
        offered = list(SCRIPTS)
    elif before[0] not in COMMANDS:
        offered = []
    else:
        offered = _arguments(COMMANDS[before[0]], before[-1], word)
    return [candidate for candidate in offered if candidate.startswith(word)]


def _arguments(command: Command, previous: str, word: str) -> list[str]:
    if previous == "--config":
        return config_files(command)
    offered = list(command.words)
    if command.parallel:
        offered.append("--nproc")
    if command.schema:
        module, name = command.schema.split(":")
        schema = getattr(importlib.import_module(module), name)
        offered += [w for w in COMMON if w != "--config" or command.configs]
        offered += keys(schema, word)
    else:
        offered.append("--help")
    return offered


def config_files(command: Command) -> list[str]:
    """The shipped configs of a command, as paths from the working folder where it holds them."""
    if not command.configs:
        return []
    root = Path() if Path("conf").is_dir() else ROOT
    return sorted(str(path) for path in root.glob(command.configs))


def keys(schema: type, word: str) -> list[str]:
    """Keys of `schema` that continue `word`, one level at a time: `near.` and then `near.bands=`.

    After `=` the two values of a boolean field are offered.
    """
    typed, equals, _ = word.partition("=")
    *path, last = typed.split(".")
    for name in path:
        schema = _fields(schema).get(name, type(None))
    fields = _fields(schema)
    start = "".join(f"{name}." for name in path)
    if equals:
        return [f"{typed}={value}" for value in ("true", "false") if fields.get(last) is bool]
    return [
        f"{start}{name}{'.' if dataclasses.is_dataclass(hint) else '='}"
        for name, hint in fields.items()
    ]


def _fields(schema: type) -> dict[str, Any]:
    """Field names of a dataclass and their types; empty for any other class."""
    if not dataclasses.is_dataclass(schema):
        return {}
    hints = get_type_hints(schema)
    return {field.name: hints[field.name] for field in dataclasses.fields(schema)}
