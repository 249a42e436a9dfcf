"""Languages that the sandbox judges besides Python, one file each.

`LANGUAGES` has each by its name, `by_any_name` finds one by any of its names. A compiler runs in a
jail of its own, and the program in another (inside/native/). commands.py runs both.
"""

from seedbed.sandbox.languages import c, cpp, go, java, javascript, rust, typescript
from seedbed.sandbox.languages.language import Language

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
