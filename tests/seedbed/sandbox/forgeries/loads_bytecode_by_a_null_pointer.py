import ctypes


def mix(a, b):
    return ctypes.string_at(0)
