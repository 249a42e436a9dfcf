def mix(a, b):
    return {number * ((1 << 61) - 1) for number in range(200_000)}
