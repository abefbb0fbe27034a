/*
 * eventry: an event loop with the signatures of libvirt's event API.
 *
 *     #include <eventry.h>                     cc ... $(pkg-config --cflags --libs eventry)
 *
 * A process has one loop, which the first call creates. Any thread may add, update and remove entries; one
 * thread runs the loop. The six functions on handles and timeouts have libvirt's types, so
 *
 *     virEventRegisterImpl(eventry_add_handle, eventry_update_handle, eventry_remove_handle,
 *                          eventry_add_timeout, eventry_update_timeout, eventry_remove_timeout);
 *
 * makes it libvirt's loop. Register it before the first connection is opened, and run the loop until after the
 * last connection is closed, because the loop frees the entries of a connection.
 *
 * THREADS. Every function except eventry_run_once and eventry_run may be called from any thread, from any
 * callback and from any free callback, also for the entry that it belongs to. None of them calls a callback,
 * and only the two removals named _and_wait wait for one, so a caller may hold locks that a callback takes
 * during the others. None may be called in a signal handler: write to a pipe that has a handle instead.
 * Callbacks and free callbacks run on the thread that is inside eventry_run_once or eventry_run, one at a time.
 *
 * OPAQUE AND FREE. After a successful addition, `opaque` belongs to the loop and must stay valid until it is
 * freed. The free callback, unless NULL, is called with it exactly once, after the removal and after the last
 * call returned, by the loop and never inside a removal: at the end of the turn of the removal or at the
 * beginning of the next turn, in the order of removal. After a failed addition, `opaque` belongs to the caller
 * and no callback is called. Without a free callback, use eventry_remove_handle_status to learn whether
 * `opaque` may be freed, or eventry_remove_handle_and_wait to wait until it may.
 *
 * ERRORS. A function that fails returns -1 and sets errno:
 *     EINVAL   the id names no entry of that kind; the callback or the structure is NULL
 *     EBADF    the descriptor is negative, or 1048576 or larger and not open
 *     ENOSPC   all 2147483647 ids are in use
 *     ENOMEM   the loop's table is full
 *     EBUSY    the loop is running, on another thread or around the caller
 *     EDEADLK  the callback to wait for is the caller
 *     EPERM    this process was forked after the loop was created
 *     others   from the operating system, when the loop cannot be created or cannot wait (EMFILE, ...)
 * After a success, errno is unspecified. A failed memory allocation and a bug of the library end the process
 * with a message. Callbacks must return: neither longjmp, a C++ exception nor pthread_exit may leave one.
 *
 * CANCELLATION. No function is a cancellation point. eventry_run_once and eventry_run, which call callbacks, disable
 * the cancellation of the calling thread (pthread_setcancelstate) and restore its state before they return. A
 * pthread_cancel of a thread that is inside one of them therefore does not end the wait, and acts at the first
 * cancellation point after the return; call eventry_stop too. Callbacks and free callbacks run with cancellation
 * disabled and must leave it disabled. A thread with asynchronous cancellation must not call the library.
 *
 * FORK. A child that does not exec has no loop: every function except eventry_version fails with EPERM and
 * does not affect the parent. (A child that was forked before the first call has a loop of its own. A child
 * of a raw clone system call is not detected and must not call the library.)
 *
 * UNLOADING. Do not dlclose the library.
 */
#ifndef EVENTRY_H
#define EVENTRY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of this header, in the form of eventry_version: major * 1000000 + minor * 1000 + patch. */
#define EVENTRY_VERSION 2000u

/* Events, with libvirt's values. ERROR and HANGUP are reported also if they were not requested. A peer that
 * only shut down its sending side is READABLE, not HANGUP. */
enum {
    EVENTRY_READABLE = 1,
    EVENTRY_WRITABLE = 2,
    EVENTRY_ERROR = 4,
    EVENTRY_HANGUP = 8
};

/* Receives the id of the handle, its descriptor, the ready events (never 0), and opaque. */
typedef void (*eventry_handle_callback)(int watch, int fd, int events, void *opaque);

/* Receives the id of the timeout, and opaque. */
typedef void (*eventry_timeout_callback)(int timer, void *opaque);

/* Receives opaque, after the last call of the entry. */
typedef void (*eventry_free_callback)(void *opaque);

/*
 * Adds a handle on an open descriptor. Returns its id, at least 1, or -1.
 *
 * The callback is called in every turn in which the descriptor is ready for `events`, until the condition
 * ends. `events` without any of the four bits adds the handle disabled; other bits are ignored. Several
 * handles may watch one descriptor, and each gets its own events. A handle that a callback adds is called in
 * the next turn at the earliest. Regular files, directories and /dev/null are always ready and keep the loop
 * from sleeping. If the descriptor is not open, the callback is called once with ERROR, in the next turn, and the
 * handle is disabled.
 *
 * The loop does not close the descriptor. It must stay open until the handle is removed, and may be closed as
 * soon as the removal returns.
 */
int eventry_add_handle(int fd, int events, eventry_handle_callback callback, void *opaque,
                       eventry_free_callback free_callback);

/*
 * Sets the events of a handle; 0 disables it until the next update. The change applies to all calls that begin
 * after the return, also in the current turn. A call that has begun on the loop's thread may still run.
 * An unknown id is ignored, and errno is set to EINVAL.
 */
void eventry_update_handle(int watch, int events);

/*
 * Removes a handle. Returns 0, or -1 if the id names no handle; one of several removals succeeds.
 *
 * No call begins after the return. If another thread runs the loop, a call that has begun may still run;
 * eventry_remove_handle_status reports it.
 */
int eventry_remove_handle(int watch);

/*
 * Removes a handle and returns the state of its callback: 0 if it does not run and will not run again, so that
 * its data may be freed at once; 1 if its last call is running on the loop's thread, which may be this one; -1
 * if the id names no handle.
 */
int eventry_remove_handle_status(int watch);

/*
 * Removes a handle and waits until a running call has returned: after 0 no call runs and none will begin, so
 * the callback's data may be freed at once. Returns 0, or -1.
 *
 * The caller must not hold a lock that the callback takes. Inside the callback itself, also in a function that
 * it calls, this fails with EDEADLK and the handle stays registered; use a removal that does not wait. The
 * loop still calls the free callback, if any, perhaps later.
 */
int eventry_remove_handle_and_wait(int watch);

/*
 * Adds a timeout that is called every `milliseconds`, for the first time after one interval. Returns its id,
 * at least 1, or -1. With 0 it is called in every turn; a negative value adds it disabled.
 *
 * It is never called early. A loop that is late calls it once and starts the next interval at that time.
 * A handle and a timeout never have the same id.
 */
int eventry_add_timeout(int milliseconds, eventry_timeout_callback callback, void *opaque,
                        eventry_free_callback free_callback);

/*
 * Restarts the interval, also with the same value; a negative value disables the timeout.
 * An unknown id is ignored, and errno is set to EINVAL.
 */
void eventry_update_timeout(int timer, int milliseconds);

/* Removes a timeout, like eventry_remove_handle. */
int eventry_remove_timeout(int timer);

/* Removes a timeout and returns the state of its callback, like eventry_remove_handle_status. */
int eventry_remove_timeout_status(int timer);

/* Removes a timeout and waits until a running call has returned, like eventry_remove_handle_and_wait. */
int eventry_remove_timeout_and_wait(int timer);

/*
 * Runs one turn: waits until a timeout is due or a handle is ready, and calls them. Returns 0, or -1.
 *
 * It may return 0 without a call, for example after a signal. Without entries it waits until one is added.
 * Timeouts are called before handles, each at most once.
 */
int eventry_run_once(void);

/* Runs turns until eventry_stop is called. Returns 0 when stopped, or -1. */
int eventry_run(void);

/*
 * Makes eventry_run or eventry_run_once return after the current turn. If neither is running, the next one
 * returns after one turn that does not wait. Returns 0, or -1.
 * Entries stay registered and may be added and removed; they are called and freed when the loop runs again.
 */
int eventry_stop(void);

/*
 * Creates the loop and registers it as the implementation that the Rust code of a program uses. C programs may
 * call it to detect early that the loop cannot be created. Returns 0, 1 if it was registered before, or -1;
 * EBUSY if another implementation was registered first.
 */
int eventry_register(void);

/* Statistics of the loop since its creation. Members may be added at the end. */
struct eventry_stats {
    uint64_t handles;       /* registered or waiting to be freed */
    uint64_t timeouts;      /* registered or waiting to be freed */
    uint64_t pending_frees; /* removed and waiting to be freed */
    uint64_t turns;         /* turns begun */
    uint64_t calls;         /* callbacks called */
    uint64_t frees;         /* entries freed, with a free callback or without */
    uint64_t wakes;         /* wakes of the sleeping loop for a change */
};

/*
 * Fills a structure of `size` bytes, which must be sizeof(struct eventry_stats), so that the library knows the
 * members of the caller's version. Members that the library does not know become 0. Returns 0, or -1.
 */
int eventry_stats(struct eventry_stats *stats, size_t size);

/* Returns the version of the linked library. */
unsigned eventry_version(void);

#ifdef __cplusplus
}
#endif

#endif
