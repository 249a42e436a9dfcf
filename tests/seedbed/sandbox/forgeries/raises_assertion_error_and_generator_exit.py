def mix(a, b):
    if a % 2:
        raise GeneratorExit
    raise AssertionError
