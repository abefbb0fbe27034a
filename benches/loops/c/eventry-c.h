/* eventry through its C functions. */
#include <eventry.h>

#define PEER_HAS_THREADS 1

struct handle {
    int id;
};

struct timer {
    int id;
};

#define HANDLE_CALLBACK(name, argument) UNUSED static void name(UNUSED int watch, UNUSED int fd, UNUSED int events, void *argument)

/* The timers repeat. The workloads with timers that expire disable them in the first call. */
#define TIMER_CALLBACK(name, argument)                                                                                 \
    static void name##_body(void *argument);                                                                           \
    UNUSED static void name(int id, void *argument) {                                                                  \
        eventry_update_timeout(id, -1);                                                                                \
        name##_body(argument);                                                                                         \
    }                                                                                                                  \
    static void name##_body(void *argument)

static void loop_create(void) {
    if (eventry_register() < 0)
        fail("eventry_register");
}

static void loop_turn(void) {
    if (eventry_run_once() < 0)
        fail("eventry_run_once");
}

static void handle_add(struct handle *handle, int fd, eventry_handle_callback callback, void *argument) {
    handle->id = eventry_add_handle(fd, EVENTRY_READABLE, callback, argument, NULL);
    if (handle->id < 0)
        fail("eventry_add_handle");
}

static void handle_update(struct handle *handle, bool writable) {
    eventry_update_handle(handle->id, writable ? EVENTRY_READABLE | EVENTRY_WRITABLE : EVENTRY_READABLE);
}

static void handle_remove(struct handle *handle) {
    eventry_remove_handle(handle->id);
}

static void timer_add(struct timer *timer, int milliseconds, eventry_timeout_callback callback, void *argument) {
    timer->id = eventry_add_timeout(milliseconds, callback, argument, NULL);
    if (timer->id < 0)
        fail("eventry_add_timeout");
}

static void timer_restart(struct timer *timer, int milliseconds) {
    eventry_update_timeout(timer->id, milliseconds);
}

static void timer_remove(struct timer *timer) {
    eventry_remove_timeout(timer->id);
}

static void (*wake_callback)(void);

static void call_wake(int id, UNUSED void *argument) {
    eventry_remove_timeout(id);
    wake_callback();
}

static void wake_create(void (*callback)(void)) {
    wake_callback = callback;
}

static void wake(void) {
    eventry_add_timeout(0, call_wake, NULL, NULL);
}
