/*
 * eventry: an event loop in the shape of libvirt's event API.
 *
 *     #include <eventry.h>                     cc ... $(pkg-config --cflags --libs eventry)
 *
 * There is one loop per process, made by the first call. Any thread adds, updates and removes; one thread
 * runs it. The six functions on handles and timeouts have the types of libvirt's, so that
 *
 *     virEventRegisterImpl(eventry_add_handle, eventry_update_handle, eventry_remove_handle,
 *                          eventry_add_timeout, eventry_update_timeout, eventry_remove_timeout);
 *
 * makes it libvirt's loop. Do that before the first connection is opened, and keep running the loop while
 * there are connections and a moment longer: what they registered is freed by the loop.
 *
 * THREADS. Every function but the two that run may be called from any thread, from inside any callback and
 * from inside any free callback, also on the entry it belongs to. None of them calls a callback, and only
 * the two removals that say so wait for one, so locks that a callback takes may be held over the others.
 * None may be called in a signal handler: write to a pipe that has a handle instead. Callbacks and free callbacks run on the thread that is inside
 * eventry_run_once or eventry_run, one at a time.
 *
 * OPAQUE AND FREE. After a successful add, `opaque` belongs to the loop: the free callback, unless NULL, is
 * called with it exactly once, after the entry was removed and its last call returned, from the loop and
 * never inside a removal. Until then it must stay valid. It is called at the end of the turn in which the
 * entry was removed, or at the beginning of the next; in the order of removal. After a failed add, `opaque`
 * is still the caller's and neither callback is ever called. Without a free callback, ask
 * eventry_remove_handle_status whether `opaque` may be let go, or let eventry_remove_handle_and_wait wait
 * until it may.
 *
 * ERRORS. What fails returns -1 and sets errno:
 *     EINVAL   the id names no entry of that kind; the callback or the structure is NULL
 *     EBADF    the descriptor is negative or not open
 *     ENOSPC   all 2147483647 ids are in use
 *     ENOMEM   the loop's table is full
 *     EBUSY    the loop runs already, on another thread or around the caller
 *     EDEADLK  the callback that is to be waited for is the caller
 *     EPERM    this process was forked after the loop had been made
 *     others   from the operating system, when the loop cannot be made or cannot wait (EMFILE, ...)
 * Success leaves errno as it may be. Memory that runs out ends the process, and so does a bug of the
 * library, with a message. Callbacks must return: no longjmp and no C++ exception may leave one.
 *
 * FORK. A child that does not exec has no loop: every function but eventry_version fails with EPERM and
 * touches nothing that is shared with the parent. (A child made before the first call has a loop of its own,
 * and one that a raw clone system call made is not noticed: it must not call.)
 *
 * UNLOADING. The library stays until the process ends: do not dlclose it.
 */
#ifndef EVENTRY_H
#define EVENTRY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version this header belongs to, as eventry_version returns it:
 * major * 1000000 + minor * 1000 + patch. */
#define EVENTRY_VERSION 1000u

/* Events, with the values of libvirt's. A callback is told of ERROR and HANGUP whether they were asked for
 * or not. A peer that only shut down its sending side is READABLE, not HANGUP. */
enum {
    EVENTRY_READABLE = 1,
    EVENTRY_WRITABLE = 2,
    EVENTRY_ERROR = 4,
    EVENTRY_HANGUP = 8
};

/* Called with the id of the handle, its descriptor, what is ready of what it wants (never 0), and opaque. */
typedef void (*eventry_handle_callback)(int watch, int fd, int events, void *opaque);

/* Called with the id of the timeout, and opaque. */
typedef void (*eventry_timeout_callback)(int timer, void *opaque);

/* Called with opaque, last of all. */
typedef void (*eventry_free_callback)(void *opaque);

/*
 * Adds a handle on an open descriptor. Returns its id, at least 1, or -1.
 *
 * The callback is called in every turn in which the descriptor is ready for `events`: it is called again
 * until the condition has gone. `events` of 0, or with none of the four bits, adds the handle disabled; other
 * bits are ignored. Several handles may have one descriptor, and each gets its own share. A handle added by
 * a callback is called in the next turn at the earliest. Regular files, directories and /dev/null are
 * always ready and keep the loop from sleeping.
 *
 * The descriptor is never closed by the loop. Keep it open until the handle has been removed; it may be
 * closed as soon as the removal returns.
 */
int eventry_add_handle(int fd, int events, eventry_handle_callback callback, void *opaque,
                       eventry_free_callback free_callback);

/*
 * Changes what a handle wants; 0 disables it until the next update. What is called after the return obeys
 * it, also in the running turn; a call that has begun on the loop's thread may still run.
 * An unknown id is ignored, and errno is set to EINVAL.
 */
void eventry_update_handle(int watch, int events);

/*
 * Removes a handle. Returns 0, or -1 if the id names none; of several removals one succeeds.
 *
 * No call of it begins after the return. If another thread runs the loop, a call that has begun may still
 * run: eventry_remove_handle_status tells.
 */
int eventry_remove_handle(int watch);

/*
 * The same, and tells about the callback: 0 if it does not run and never will, so that what it uses may be
 * freed at once; 1 if its last call is running on the loop's thread, which may be this one; -1 if the id
 * names no handle.
 */
int eventry_remove_handle_status(int watch);

/*
 * The same, and waits until its last call is over if one is running: after 0 none runs and none will begin,
 * so what the callback uses may be freed at once. Returns 0, or -1.
 *
 * Hold nothing that the callback may be waiting for, such as a lock it takes. Inside the callback itself, in
 * whichever function it has called, it fails with EDEADLK and the handle stays registered: remove it without
 * waiting. The free callback, if any, is still called by the loop and may come later.
 */
int eventry_remove_handle_and_wait(int watch);

/*
 * Adds a timeout that is called every `milliseconds`, for the first time when they have passed. Returns its
 * id, at least 1, or -1. 0 calls it in every turn, a negative value adds it disabled.
 *
 * It is never called early. A loop that comes late calls it once and counts the next interval from there.
 * Handles and timeouts never have the same id.
 */
int eventry_add_timeout(int milliseconds, eventry_timeout_callback callback, void *opaque,
                        eventry_free_callback free_callback);

/*
 * Starts the interval anew, also with the same value; a negative value disables the timeout.
 * An unknown id is ignored, and errno is set to EINVAL.
 */
void eventry_update_timeout(int timer, int milliseconds);

/* Removes a timeout, as eventry_remove_handle. */
int eventry_remove_timeout(int timer);

/* Removes a timeout and tells about its callback, as eventry_remove_handle_status. */
int eventry_remove_timeout_status(int timer);

/* Removes a timeout and waits until its last call is over, as eventry_remove_handle_and_wait. */
int eventry_remove_timeout_and_wait(int timer);

/*
 * One turn: waits until a timeout is due or a handle is ready, and calls what is. Returns 0, or -1.
 *
 * It may return 0 without having called anything, for example after a signal. When nothing is registered it
 * waits until something is. Timeouts are called before handles, each at most once.
 */
int eventry_run_once(void);

/* Turn after turn, until eventry_stop. Returns 0 when stopped, or -1. */
int eventry_run(void);

/*
 * Makes the run that is going on return after the turn it is in: eventry_run as well as eventry_run_once.
 * If there is none, the next one returns after one turn that does not wait. Returns 0, or -1.
 * Entries stay registered and may be added and removed; they are called and freed when the loop runs again.
 */
int eventry_stop(void);

/*
 * Makes the loop and registers it as the implementation that the Rust half of a program finds. C programs
 * need not call it, except to learn early whether the loop can be made. Returns 0, 1 if it had been
 * registered before, or -1; EBUSY if another implementation was registered first.
 */
int eventry_register(void);

/* What there is, and what the loop has done since it was made. Members may be added at the end. */
struct eventry_stats {
    uint64_t handles;       /* registered or waiting to be freed */
    uint64_t timeouts;      /* registered or waiting to be freed */
    uint64_t pending_frees; /* removed and waiting to be freed */
    uint64_t turns;         /* turns begun */
    uint64_t calls;         /* callbacks called */
    uint64_t frees;         /* entries freed, with a free callback or without */
    uint64_t wakes;         /* how often the loop slept and was woken for a change */
};

/*
 * Fills in a structure of `size` bytes, which is sizeof(struct eventry_stats): that tells the library which
 * members the caller knows. Members that only the caller knows become 0. Returns 0, or -1.
 */
int eventry_stats(struct eventry_stats *stats, size_t size);

/* The version of the library that is linked. */
unsigned eventry_version(void);

#ifdef __cplusplus
}
#endif

#endif
