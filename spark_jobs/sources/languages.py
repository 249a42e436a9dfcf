"""Infers the language of a file from its name.

The paper infers it from the extension (App A.2.1) and lists 89 languages (App A.1). All are here,
under the paper's names, with the extensions of GitHub Linguist's languages.yml. A few close
relatives such as Cython, Jinja and SCSS are added. An extension that several languages use belongs
to the one with most files on GitHub, because one path must always give one language. So .h is C, .m
MATLAB, .v Verilog, .cls TeX, .scm Scheme, .pl Perl and .r R.
"""

from __future__ import annotations

EXTENSIONS: dict[str, str] = {
    "ANTLR": "g4",
    "AWK": "awk gawk mawk nawk auk",
    "Ada": "adb ads ada",
    "Agda": "agda",
    "Alloy": "als",
    "AppleScript": "applescript scpt",
    "Assembly": "asm s nasm a51",
    "Augeas": "aug",
    "Batchfile": "bat cmd",
    "Bluespec": "bsv",
    "C": "c h",
    "C#": "cs csx cake",
    "C++": "cpp cc cxx c++ hpp hh hxx h++ inl ipp tcc tpp ixx cppm",
    "CMake": "cmake",
    "CSS": "css",
    "CUDA": "cu cuh",
    "Clojure": "clj cljs cljc edn boot",
    "CoffeeScript": "coffee cson iced",
    "Common Lisp": "lisp lsp asd ny",
    "Dart": "dart",
    "Dockerfile": "dockerfile containerfile",
    "Elixir": "ex exs",
    "Elm": "elm",
    "Emacs Lisp": "el",
    "Erlang": "erl hrl escript xrl yrl",
    "F#": "fs fsi fsx",
    "Fortran": "f f77 f90 f95 f03 f08 for fpp",
    "GLSL": "glsl vert frag geom comp tesc tese vsh fsh glslf glslv",
    "Go": "go",
    "Groovy": "groovy gradle gvy gsh",
    "HTML": "html htm xhtml xht",
    "Haskell": "hs hsc hs-boot",
    "Idris": "idr lidr",
    "Isabelle": "thy",
    "JSON": "json jsonl geojson webmanifest topojson",
    "Java": "java",
    "Java Server Pages": "jsp jspf tag",
    "JavaScript": "js mjs cjs jsx es6 jsm",
    "Julia": "jl",
    "Kotlin": "kt kts ktm",
    "Lean": "lean hlean",
    "Literate Agda": "lagda",
    "Literate CoffeeScript": "litcoffee",
    "Literate Haskell": "lhs",
    "Lua": "lua rockspec wlua",
    "MATLAB": "m",
    "Makefile": "mk mak make",
    "Maple": "mpl",
    "Markdown": "md markdown mdown mkd mkdn mdx",
    "Mathematica": "mathematica nb wl wls nbp mt",
    "OCaml": "ml mli mll mly",
    "PHP": "php php3 php4 php5 phps phtml",
    "Pascal": "pas dpr dfm lpr pascal",
    "Perl": "pl pm perl ph plx psgi",
    "PowerShell": "ps1 psm1 psd1",
    "Prolog": "prolog yap pro",
    "Protocol Buffer": "proto",
    "Python": "py pyi pyw py3 bzl",
    "R": "r rd rsx",
    "RMarkdown": "rmd",
    "Racket": "rkt rktd rktl scrbl",
    "Ruby": "rb rake gemspec ru podspec rbw thor jbuilder rabl",
    "Rust": "rs",
    "SAS": "sas",
    "SPARQL": "sparql rq",
    "SQL": "sql ddl dml pgsql plsql",
    "Scala": "scala sbt sc",
    "Scheme": "scm ss sld sps",
    "Shell": "sh bash zsh ksh bats command",
    "Smalltalk": "st",
    "Solidity": "sol",
    "Stan": "stan",
    "Standard ML": "sml sig fun",
    "Stata": "do ado doh ihlp mata matah sthlp",
    "Swift": "swift",
    "SystemVerilog": "sv svh",
    "Tcl": "tcl tm adp",
    "Tcsh": "tcsh csh",
    "TeX": "tex sty cls bib dtx ltx ins bbx cbx",
    "Thrift": "thrift",
    "TypeScript": "ts tsx mts cts",
    "VHDL": "vhd vhdl vhf vhi vho vhs vht vhw",
    "Verilog": "v vh veo",
    "Visual Basic": "vb vbs bas frm vba vbhtml",
    "XSLT": "xsl xslt",
    "YAML": "yml yaml",
    "Yacc": "y yacc yy",
    "Zig": "zig",
    "reStructuredText": "rst rest",
    # Not among the paper's 89.
    "Cython": "pyx pxd pxi",
    "GraphQL": "graphql gql",
    "HCL": "hcl tf tfvars nomad",
    "Jinja": "jinja jinja2 j2",
    "Less": "less",
    "Nim": "nim nims nimble",
    "Nix": "nix",
    "Objective-C": "mm",
    "SCSS": "scss sass",
    "Svelte": "svelte",
    "Vue": "vue",
}

FILE_NAMES: dict[str, str] = {
    "CMake": "CMakeLists.txt",
    "Dockerfile": "Dockerfile Containerfile",
    "Groovy": "Jenkinsfile",
    "JavaScript": "Jakefile",
    "Makefile": (
        "Makefile makefile GNUmakefile BSDmakefile Kbuild Makefile.am Makefile.in Makefile.inc"
    ),
    "Perl": "Makefile.PL Rexfile cpanfile",
    "Python": "SConstruct SConscript wscript BUILD BUCK WORKSPACE Snakefile",
    "Ruby": "Rakefile Gemfile Guardfile Vagrantfile Capfile Podfile Brewfile Fastfile Dangerfile",
    "Shell": "PKGBUILD APKBUILD bashrc zshrc .bashrc .zshrc .profile .bash_profile",
}


def _inverted(owners: dict[str, str]) -> dict[str, str]:
    inverted: dict[str, str] = {}
    for language, names in owners.items():
        for name in names.split():
            if name in inverted:
                raise ValueError(f"{name} is claimed by {inverted[name]} and {language}")
            inverted[name] = language
    return inverted


_BY_EXTENSION = _inverted(EXTENSIONS)
_BY_NAME = _inverted(FILE_NAMES)


def language_of(path: str) -> str | None:
    """The language of the file at `path`, which is separated by '/', or None.

    It is found by the whole name, else by the extension in lower case.
    """
    name = path.rsplit("/", 1)[-1]
    if name in _BY_NAME:
        return _BY_NAME[name]
    stem, dot, extension = name.rpartition(".")
    if not dot:
        return None
    # ".py" has no extension, and "Dockerfile.gpu" is a Dockerfile.
    if stem == "" or stem.lower() == "dockerfile":
        return "Dockerfile" if stem else None
    return _BY_EXTENSION.get(extension.lower())
