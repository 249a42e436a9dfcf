"""A program's text, with all that it takes to compile and to run it."""

from __future__ import annotations

from dataclasses import dataclass

from seedbed.sandbox.languages.language import Language, Toolchain


@dataclass(frozen=True)
class ProgramSource:
    """One source. beside: whether tests stand in it, and so may use Language.library."""

    language: Language
    tools: Toolchain
    text: str
    beside: bool = False

    @property
    def words(self) -> dict[str, str]:
        """Placeholders of the commands."""
        own = self.language.layout(self.text)
        beside = "yes" if self.beside else "no"
        return {"file": self.language.file, "main": "", "beside": beside, **own}

    @property
    def files(self) -> tuple[tuple[str, bytes], ...]:
        """What lies in the compiler's folder: pairs of path and bytes."""
        texts = ((self.words["file"], self.text), *(self.language.library if self.beside else ()))
        return tuple((path, text.encode("utf-8", "surrogatepass")) for path, text in texts)
