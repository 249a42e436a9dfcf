import _thread
import threading
import time


def interrupt():
    while True:
        time.sleep(0.001)
        _thread.interrupt_main()


threading.Thread(target=interrupt, daemon=True).start()


def mix(a, b):
    raise KeyboardInterrupt
