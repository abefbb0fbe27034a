/* GLib's main context: a source per handle and per timer. */
#include <glib.h>

#define PEER_HAS_THREADS 1

struct handle {
    GSource *source;
};

struct timer {
    GSource *source;
};

/* A source of this program. Its descriptor has a tag; a timer has none. */
struct peer_source {
    GSource source;
    gpointer tag;
};

#define HANDLE_CALLBACK(name, argument)                                                                                \
    static void name##_body(void *argument);                                                                           \
    UNUSED static gboolean name(gpointer argument) {                                                                   \
        name##_body(argument);                                                                                         \
        return G_SOURCE_CONTINUE;                                                                                      \
    }                                                                                                                  \
    static void name##_body(UNUSED void *argument)
#define TIMER_CALLBACK(name, argument) HANDLE_CALLBACK(name, argument)

static gboolean check_source(GSource *source) {
    return g_source_query_unix_fd(source, ((struct peer_source *)source)->tag) != 0;
}

static gboolean dispatch_source(UNUSED GSource *source, GSourceFunc callback, gpointer argument) {
    return callback(argument);
}

/* The ready time is absolute: a timer that was called is disarmed. */
static gboolean dispatch_timer(GSource *source, GSourceFunc callback, gpointer argument) {
    g_source_set_ready_time(source, -1);
    return callback(argument);
}

static GSourceFuncs handle_functions = {.check = check_source, .dispatch = dispatch_source};
static GSourceFuncs timer_functions = {.dispatch = dispatch_timer};

static void loop_create(void) {
}

static void loop_turn(void) {
    g_main_context_iteration(NULL, TRUE);
}

static void handle_add(struct handle *handle, int fd, GSourceFunc callback, void *argument) {
    handle->source = g_source_new(&handle_functions, sizeof(struct peer_source));
    ((struct peer_source *)handle->source)->tag = g_source_add_unix_fd(handle->source, fd, G_IO_IN);
    g_source_set_callback(handle->source, callback, argument, NULL);
    g_source_attach(handle->source, NULL);
}

static void handle_update(struct handle *handle, bool writable) {
    GIOCondition condition = writable ? G_IO_IN | G_IO_OUT : G_IO_IN;
    g_source_modify_unix_fd(handle->source, ((struct peer_source *)handle->source)->tag, condition);
}

static void handle_remove(struct handle *handle) {
    g_source_destroy(handle->source);
    g_source_unref(handle->source);
}

static void timer_restart(struct timer *timer, int milliseconds) {
    g_source_set_ready_time(timer->source, g_get_monotonic_time() + (gint64)milliseconds * 1000);
}

static void timer_add(struct timer *timer, int milliseconds, GSourceFunc callback, void *argument) {
    timer->source = g_source_new(&timer_functions, sizeof(struct peer_source));
    g_source_set_callback(timer->source, callback, argument, NULL);
    timer_restart(timer, milliseconds);
    g_source_attach(timer->source, NULL);
}

static void timer_remove(struct timer *timer) {
    g_source_destroy(timer->source);
    g_source_unref(timer->source);
}

static struct timer wake_timer;
static void (*wake_callback)(void);

static gboolean call_wake(UNUSED gpointer argument) {
    wake_callback();
    return G_SOURCE_CONTINUE;
}

static void wake_create(void (*callback)(void)) {
    wake_callback = callback;
    wake_timer.source = g_source_new(&timer_functions, sizeof(struct peer_source));
    g_source_set_callback(wake_timer.source, call_wake, NULL, NULL);
    g_source_attach(wake_timer.source, NULL);
}

static void wake(void) {
    g_source_set_ready_time(wake_timer.source, 0);
}
