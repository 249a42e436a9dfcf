"""Languages that the sandbox judges besides Python, one file each.

`LANGUAGES` has each by its name, `language` finds one by any of its names. A compiler runs in a
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
