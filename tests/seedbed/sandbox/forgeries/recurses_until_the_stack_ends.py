import sys

sys.setrecursionlimit(10**9)


def mix(a, b):
    return [mix(b, a)] + list(map(lambda x: mix(x, x), [a]))
