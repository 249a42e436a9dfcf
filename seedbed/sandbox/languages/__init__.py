"""Languages that the sandbox judges besides Python, one file each.

`LANGUAGES` has each by its name, `by_any_name` finds one by any of its names, and `unjudged` says
which tests cannot judge it. A compiler runs in a jail of its own, and the program in another
(inside/native/). commands.py runs both.
"""

from seedbed.sandbox.languages import c, cpp, go, java, javascript, rust, typescript
from seedbed.sandbox.languages.language import Language
from seedbed.sandbox.verdict import SourceTests, StdioTests, Tests, UnjudgedTests

LANGUAGES: dict[str, Language] = {
    found.name: found
    for found in (
        c.LANGUAGE,
        cpp.LANGUAGE,
        java.LANGUAGE,
        javascript.LANGUAGE,
        typescript.LANGUAGE,
        go.LANGUAGE,
        rust.LANGUAGE,
    )
}


def by_any_name(name: str) -> Language | None:
    """The language that a data set calls by this name, in any case; None where it is not ours."""
    word = name.strip().lower()
    for found in LANGUAGES.values():
        if word in (found.name, found.title.lower(), *found.others):
            return found
    return None


def unjudged(tests: Tests, spoken: str) -> str:
    """Why such tests cannot judge programs in a language; empty where they can.

    spoken: the language, as in Job.spoken. It may be a name that is not known here.
    """
    if isinstance(tests, UnjudgedTests):
        return tests.reason
    if spoken != "python" and spoken not in LANGUAGES:
        return f"{spoken} is not judged here, but python, {', '.join(LANGUAGES)}"
    if isinstance(tests, StdioTests):
        return ""
    own = tests.language if isinstance(tests, SourceTests) else "python"
    if spoken != own:
        return f"tests in {_title(own)} cannot judge {_title(spoken)}"
    if isinstance(tests, SourceTests) and own == "python":
        return "tests in the program's own source cannot judge Python"
    return ""


def _title(name: str) -> str:
    return LANGUAGES[name].title if name in LANGUAGES else name.title()
