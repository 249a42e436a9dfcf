"""C++ tests: `assert(candidate(...) == (...));` in main."""

from __future__ import annotations

import re

from seedbed.sandbox.languages.sealing.calls import Sealed, cases

# Writes a value so that two texts are equal where == holds: numbers by value, whatever their type.
_SHOW = """
#undef assert
#undef main
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>
namespace seedbed_shows {
inline std::string text(const std::string& s) {
    std::string out = "\\"";
    char code[8];
    for (unsigned char c : s) { std::snprintf(code, 8, "%02x", c); out += code; }
    return out + "\\"";
}
inline std::string text(const char* s) { return text(std::string(s)); }
template <class T> std::enable_if_t<std::is_arithmetic_v<T>, std::string> text(T v) {
    char out[64];
    if constexpr (std::is_floating_point_v<T>) {
        if (std::isnan(v)) return "nan is never equal";
        if (v != std::floor(v) || std::fabs(v) > 9e15) {
            std::snprintf(out, 64, "%a", (double)v);
            return out;
        }
    }
    std::snprintf(out, 64, "%lld", (long long)v);
    return out;
}
template <class A, class B> std::string text(const std::pair<A, B>&);
template <class... A> std::string text(const std::tuple<A...>&);
template <class A> std::string text(const std::vector<A>&);
template <class A> std::string text(const std::set<A>&);
template <class A, class B> std::string text(const std::map<A, B>&);
template <class A> std::string text(const std::optional<A>&);
template <class C> std::string all(const C& c) {
    std::string out = "[";
    for (const auto& x : c) out += text(x) + ",";
    return out + "]";
}
inline std::string text(const std::vector<bool>& c) {
    std::string out = "[";
    for (bool x : c) out += text(x) + ",";
    return out + "]";
}
template <class A, class B> std::string text(const std::pair<A, B>& p) {
    return "(" + text(p.first) + "," + text(p.second) + ",)";
}
template <class... A> std::string text(const std::tuple<A...>& t) {
    return std::apply([](const auto&... x) { return "(" + ((text(x) + ",") + ... + ")"); }, t);
}
template <class A> std::string text(const std::vector<A>& c) { return all(c); }
template <class A> std::string text(const std::set<A>& c) { return all(c); }
template <class A, class B> std::string text(const std::map<A, B>& c) { return all(c); }
template <class A> std::string text(const std::optional<A>& o) {
    return o ? "some " + text(*o) : "none";
}
inline void line(const std::string& s) { std::printf("\\n\\x01%s\\n", s.c_str()); }
template <class R, class E> void expect(const E& e) {
    if constexpr (std::is_arithmetic_v<E>) line(text(e));
    else line(text(static_cast<R>(e)));
}
}
"""


def seal(prompt: str, tests: str) -> Sealed | None:
    """The tests taken apart; None where they are not of that form."""
    name = re.search(r"auto candidate = (\w+);", tests)
    found = cases(tests, r"assert\(candidate\(", r" == ", r"\);\s*$")
    main = re.search(r"^int main\(\s*\)", tests, re.M)
    if name is None or main is None or not found or len(found) != tests.count("assert("):
        return None
    head, call = tests[: main.start()], name[1]
    answers = "".join(
        f"seedbed_shows::line(seedbed_shows::text({call}({case.arguments})));\n" for case in found
    )
    expected = "".join(
        f"seedbed_shows::expect<std::decay_t<decltype({call}({case.arguments}))>>"
        f"({case.expected});\n"
        for case in found
    )
    stub = f"{prompt}\n__builtin_trap();\n"
    return Sealed(
        len(found),
        f"{head}{_SHOW}int main() {{\n{answers}}}\n",
        f"{stub}{head}{_SHOW}int main() {{\n{expected}}}\n",
    )
