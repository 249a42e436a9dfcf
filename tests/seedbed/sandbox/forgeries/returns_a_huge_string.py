def mix(a, b):
    return "x" * (1 << 25)
