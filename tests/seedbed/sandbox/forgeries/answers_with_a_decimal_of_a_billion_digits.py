from decimal import Decimal


def mix(a, b):
    return Decimal("1e999999999")
