/* libevent, with locks, so that every thread may use it. */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/thread.h>

#define PEER_HAS_THREADS 1

static struct event_base *base;

struct handle {
    struct event event;
};

struct timer {
    struct event event;
};

#define HANDLE_CALLBACK(name, argument) UNUSED static void name(UNUSED evutil_socket_t fd, UNUSED short events, void *argument)
#define TIMER_CALLBACK(name, argument) HANDLE_CALLBACK(name, argument)

static void loop_create(void) {
    if (evthread_use_pthreads() < 0 || !(base = event_base_new()))
        fail("event_base_new");
}

static void loop_turn(void) {
    if (event_base_loop(base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY) < 0)
        fail("event_base_loop");
}

static void handle_add(struct handle *handle, int fd, event_callback_fn callback, void *argument) {
    event_assign(&handle->event, base, fd, EV_READ | EV_PERSIST, callback, argument);
    if (event_add(&handle->event, NULL) < 0)
        fail("event_add");
}

/* The interest of an event is fixed: it is removed, assigned and added again. */
static void handle_update(struct handle *handle, bool writable) {
    struct event *event = &handle->event;
    short events = (short)(EV_READ | EV_PERSIST | (writable ? EV_WRITE : 0));
    event_del(event);
    event_assign(event, base, event_get_fd(event), events, event_get_callback(event), event_get_callback_arg(event));
    event_add(event, NULL);
}

static void handle_remove(struct handle *handle) {
    event_del(&handle->event);
}

static void timer_restart(struct timer *timer, int milliseconds) {
    struct timeval after = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
    event_add(&timer->event, &after);
}

static void timer_add(struct timer *timer, int milliseconds, event_callback_fn callback, void *argument) {
    evtimer_assign(&timer->event, base, callback, argument);
    timer_restart(timer, milliseconds);
}

static void timer_remove(struct timer *timer) {
    event_del(&timer->event);
}

static struct event wake_event;
static void (*wake_callback)(void);

static void call_wake(UNUSED evutil_socket_t fd, UNUSED short events, UNUSED void *argument) {
    wake_callback();
}

static void wake_create(void (*callback)(void)) {
    wake_callback = callback;
    event_assign(&wake_event, base, -1, EV_PERSIST, call_wake, NULL);
    event_add(&wake_event, NULL);
}

static void wake(void) {
    event_active(&wake_event, EV_READ, 0);
}
