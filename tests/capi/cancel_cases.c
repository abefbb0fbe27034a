/* Threads that are cancelled inside a function of eventry: the cancellation acts after the return. */
#include "conformance.h"

#include <eventry.h>
#include <pthread.h>

static int is_inside, returned, result;

/* Notes the return of a call and reaches a cancellation point, which only a cancelled thread does not leave. */
static void *return_to_caller(void)
{
    returned = 1;
    pthread_testcancel();
    return NULL;
}

static void join(pthread_t thread)
{
    void *ended = NULL;

    pthread_join(thread, &ended);
    say("%s returned=%d,%d", ended == PTHREAD_CANCELED ? "cancelled" : "left", returned, result);
}

static void begin(pthread_t *thread, void *(*body)(void *), void *opaque)
{
    is_inside = returned = 0;
    result = -2;
    if (pthread_create(thread, NULL, body, opaque) != 0)
        check(0, "a thread was started");
}

static void *wait_in_a_turn(void *opaque)
{
    (void)opaque;
    __atomic_store_n(&is_inside, 1, __ATOMIC_SEQ_CST);
    result = eventry_run_once();
    return return_to_caller();
}

static void *wait_in_a_run(void *opaque)
{
    (void)opaque;
    __atomic_store_n(&is_inside, 1, __ATOMIC_SEQ_CST);
    result = eventry_run();
    return return_to_caller();
}

/* Without an event, only the stop ends the wait. */
static void cancel_a_waiting(void *(*body)(void *))
{
    pthread_t thread;

    begin(&thread, body, NULL);
    check(wait_until(&is_inside, 1), "the thread waits");
    sleep_ms(20);
    check(pthread_cancel(thread) == 0, "the thread was cancelled");
    sleep_ms(20);
    eventry_stop();
    join(thread);
}

static void waiting(void)
{
    struct entry *it;

    settle();
    cancel_a_waiting(wait_in_a_turn);
    cancel_a_waiting(wait_in_a_run);
    it = timeout("it", 0);
    say("usable=%d", run_until(&it->calls, 1));
}

static void cancel_self(struct entry *self)
{
    int state = -1;

    pthread_cancel(pthread_self());
    pthread_testcancel();
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    self->value = state == PTHREAD_CANCEL_DISABLE;
}

static void *call_in_a_turn(void *opaque)
{
    struct entry *it = opaque;

    while (it->calls == 0)
        result = eventry_run_once();
    return return_to_caller();
}

static void callback(void)
{
    struct entry *it = timeout("it", 0);
    pthread_t thread;

    it->then = cancel_self;
    begin(&thread, call_in_a_turn, it);
    join(thread);
    it->then = NULL;
    say("disabled=%d usable=%d", it->value, run_until(&it->calls, 2));
}

static void never(int timer, void *opaque)
{
    (void)timer, (void)opaque;
}

/* The loop sleeps, so the changes wake it. */
static void change(void)
{
    struct eventry_stats stats;
    int at, timer;

    for (at = 0; at < 100; at++) {
        timer = eventry_add_timeout(100000 - at, never, NULL, NULL);
        eventry_update_timeout(timer, 50000 - at);
        result = eventry_remove_timeout_and_wait(timer);
        eventry_stats(&stats, sizeof(stats));
    }
}

static void *change_cancelled(void *opaque)
{
    (void)opaque;
    pthread_cancel(pthread_self());
    change();
    return return_to_caller();
}

static void *change_uncancellable(void *opaque)
{
    (void)opaque;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_cancel(pthread_self());
    change();
    /* A library that enables the cancellation is seen here. */
    pthread_testcancel();
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    return return_to_caller();
}

static void changes(void)
{
    pthread_t thread;

    start_runner();
    begin(&thread, change_cancelled, NULL);
    join(thread);
    begin(&thread, change_uncancellable, NULL);
    join(thread);
    stop_runner();
}

const struct test cancel_cases[] = {
    OWN("cancel-waiting", waiting, "cancelled returned=1,0 cancelled returned=1,0 usable=1"),
    OWN("cancel-callback", callback, "cancelled returned=1,0 disabled=1 usable=1"),
    OWN("cancel-changes", changes, "cancelled returned=1,0 cancelled returned=1,0"),
    { 0 },
};
