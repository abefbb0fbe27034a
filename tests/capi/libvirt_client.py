"""libvirt's Python module on eventry's loop: libvirt_client.py LIBEVENTRY URI SECONDS

The functions of libeventry.so are registered with libvirt.so.0 directly, without Python code between them. The client
stays connected with a keepalive of one second, makes a call every five seconds, and fails unless the connection is
alive at the end and the loop made calls in between.
"""

import ctypes
import sys
import threading
import time

import libvirt


class Stats(ctypes.Structure):
    """struct eventry_stats"""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in ("handles", "timeouts", "pending_frees", "turns", "calls", "frees", "wakes")
    ]


FUNCTIONS = ["add_handle", "update_handle", "remove_handle", "add_timeout", "update_timeout", "remove_timeout"]


def stats(eventry):
    now = Stats()
    assert eventry.eventry_stats(ctypes.byref(now), ctypes.c_size_t(ctypes.sizeof(now))) == 0
    return now


def stay(eventry, connection, seconds):
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0.1:
        assert "test" in [domain.name() for domain in connection.listAllDomains()]
        idle = min(5, left)
        before = stats(eventry)
        time.sleep(idle)
        after = stats(eventry)
        calls = after.calls - before.calls
        print(f"{idle:.0f} s idle: {after.handles} handles, {after.timeouts} timeouts, {calls} calls", flush=True)
        assert after.handles >= 1 and after.timeouts >= 1, "libvirt has no entries"
        assert calls >= int(idle), "the loop does not serve the connection"


def main(library, uri, seconds):
    eventry = ctypes.CDLL(library)
    functions = [getattr(eventry, f"eventry_{name}") for name in FUNCTIONS]
    register = ctypes.CDLL("libvirt.so.0").virEventRegisterImpl
    register.argtypes = [ctypes.c_void_p] * len(FUNCTIONS)
    register.restype = None
    register(*(ctypes.cast(function, ctypes.c_void_p) for function in functions))
    loop = threading.Thread(target=eventry.eventry_run)
    loop.start()
    try:
        connection = libvirt.open(uri)
        connection.setKeepAlive(1, 3)
        connection.registerCloseCallback(lambda _, reason, __: print("closed: reason", reason, flush=True), None)
        stay(eventry, connection, seconds)
        alive = connection.isAlive()
        print(f"alive after {seconds} s: {alive}")
        connection.unregisterCloseCallback()
        connection.close()
        end = time.monotonic() + 5
        while (left := stats(eventry).handles + stats(eventry).timeouts) > 0 and time.monotonic() < end:
            time.sleep(0.01)
        print(f"freed: {stats(eventry).frees} of {stats(eventry).frees + left}")
        return 0 if alive == 1 and left == 0 else 1
    finally:
        eventry.eventry_stop()
        loop.join()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
