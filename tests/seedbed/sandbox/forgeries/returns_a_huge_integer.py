def mix(a, b):
    return 1 << (1 << 29)
