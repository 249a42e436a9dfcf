import ctypes

libc = ctypes.CDLL(None)


def mix(a, b):
    return libc.process_vm_readv(1, None, 0, None, 0, 0)
