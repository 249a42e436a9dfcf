import ctypes

libc = ctypes.CDLL(None)


def mix(a, b):
    return libc.syscall(425, 1, ctypes.create_string_buffer(120))
