import re


def mix(a, b):
    return re.match(r"(a|a)*$", "a" * 64 + "b")
