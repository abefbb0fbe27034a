/* libuv, which one thread may use; only uv_async_send may be called from others. */
#include <uv.h>

#define PEER_HAS_THREADS 0

/* A closed handle is in use until its close callback, so it is allocated for each addition. */
struct handle {
    uv_poll_t *poll;
};

struct timer {
    uv_timer_t timer;
    uv_timer_cb callback;
};

static uv_loop_t *loop;

#define HANDLE_CALLBACK(name, argument)                                                                                \
    static void name##_body(void *argument);                                                                           \
    UNUSED static void name(uv_poll_t *poll, UNUSED int status, UNUSED int events) {                                   \
        name##_body(poll->data);                                                                                       \
    }                                                                                                                  \
    static void name##_body(UNUSED void *argument)

#define TIMER_CALLBACK(name, argument)                                                                                 \
    static void name##_body(void *argument);                                                                           \
    UNUSED static void name(uv_timer_t *timer) {                                                                       \
        name##_body(timer->data);                                                                                      \
    }                                                                                                                  \
    static void name##_body(UNUSED void *argument)

/* Callbacks of handles by poll handle: the update passes the callback again. */
struct poll_handle {
    uv_poll_t poll;
    uv_poll_cb callback;
};

static void loop_create(void) {
    loop = uv_default_loop();
}

static void loop_turn(void) {
    uv_run(loop, UV_RUN_ONCE);
}

static void handle_add(struct handle *handle, int fd, uv_poll_cb callback, void *argument) {
    struct poll_handle *added = malloc(sizeof *added);
    if (!added || uv_poll_init(loop, &added->poll, fd) < 0)
        fail("uv_poll_init");
    added->poll.data = argument;
    added->callback = callback;
    handle->poll = &added->poll;
    uv_poll_start(handle->poll, UV_READABLE, callback);
}

static void handle_update(struct handle *handle, bool writable) {
    uv_poll_cb callback = ((struct poll_handle *)handle->poll)->callback;
    uv_poll_start(handle->poll, writable ? UV_READABLE | UV_WRITABLE : UV_READABLE, callback);
}

static void free_handle(uv_handle_t *handle) {
    free(handle);
}

static void handle_remove(struct handle *handle) {
    uv_close((uv_handle_t *)handle->poll, free_handle);
}

static void timer_restart(struct timer *timer, int milliseconds) {
    uv_timer_start(&timer->timer, timer->callback, (uint64_t)milliseconds, 0);
}

static void timer_add(struct timer *timer, int milliseconds, uv_timer_cb callback, void *argument) {
    uv_timer_init(loop, &timer->timer);
    timer->timer.data = argument;
    timer->callback = callback;
    timer_restart(timer, milliseconds);
}

static void timer_remove(struct timer *timer) {
    uv_close((uv_handle_t *)&timer->timer, NULL);
}

static uv_async_t wake_async;
static void (*wake_callback)(void);

static void call_wake(UNUSED uv_async_t *async) {
    wake_callback();
}

static void wake_create(void (*callback)(void)) {
    wake_callback = callback;
    uv_async_init(loop, &wake_async, call_wake);
}

static void wake(void) {
    uv_async_send(&wake_async);
}
