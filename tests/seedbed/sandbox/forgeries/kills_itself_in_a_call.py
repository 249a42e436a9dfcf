import os
import signal


def mix(a, b):
    signal.raise_signal(signal.SIGKILL)
    os.abort()
