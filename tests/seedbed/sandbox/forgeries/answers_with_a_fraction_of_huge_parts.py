from fractions import Fraction


def mix(a, b):
    return Fraction((1 << 20_000_003) - 1, (1 << 20_000_033) - 1)
