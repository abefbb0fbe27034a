/* Extensions of eventry for removals: the state of the callback, and waiting for its last call. */
#include "conformance.h"

#include <errno.h>
#include <eventry.h>
#include <stdlib.h>
#include <unistd.h>

static void never(int watch, int fd, int events, void *opaque)
{
    (void)watch, (void)fd, (void)events, (void)opaque;
    abort();
}

static void count(int timer, void *opaque)
{
    (void)timer;
    ++*(int *)opaque;
}

static void no_free(void)
{
    int calls = 0, ends[2], handle, timer = eventry_add_timeout(0, count, &calls, NULL);

    if (pipe(ends) < 0)
        abort();
    handle = eventry_add_handle(ends[0], R, never, NULL, NULL);
    turn();
    say("%d %d", eventry_remove_timeout(timer), eventry_remove_handle(handle));
    turn();
    say("calls=%d", calls);
    close(ends[0]);
    close(ends[1]);
}

static void status_inside(struct entry *self)
{
    say("inside=%d", eventry_remove_handle_status(self->id));
    say("again=%d", eventry_remove_handle_status(self->id));
    self->removed = 1;
}

static void hold(struct entry *self)
{
    __atomic_store_n(&self->value, 1, __ATOMIC_SEQ_CST);
    sleep_ms(20);
}

/* These removals bypass the harness, so its count is updated here. */
static void status(void)
{
    struct entry *idle = on_pipe("idle", R), *self = on_pipe("self", R), *held = on_pipe("held", R);
    struct entry *timer = timeout("timer", 1000);

    say("idle=%d,%d", eventry_remove_handle_status(idle->id), eventry_remove_timeout_status(timer->id));
    idle->removed = timer->removed = 1;
    self->then = status_inside;
    feed(self);
    check(run_until(&self->calls, 1), "called");
    held->then = hold;
    feed(held);
    start_runner();
    check(wait_until(&held->value, 1), "the callback runs");
    say("elsewhere=%d", eventry_remove_handle_status(held->id));
    held->removed = 1;
    check(wait_until(&held->freed, 1) && wait_until(&timer->freed, 1), "freed");
    say("calls=%d", held->calls);
}

static int remove_and_wait(struct entry *it)
{
    return it->is_timeout ? eventry_remove_timeout_and_wait(it->id) : eventry_remove_handle_and_wait(it->id);
}

static void wait_inside(struct entry *self)
{
    self->then = NULL;
    SAY_ERRNO("inside", remove_and_wait(self));
    check(remove_and_wait(self->other) == 0, "another may be waited for");
    self->other->removed = 1;
}

/* A call that lasts until its entry is removed, and some milliseconds longer. */
static void outlast_removal(struct entry *self)
{
    double end = now_ms() + 5000;

    __atomic_store_n(&self->value, 1, __ATOMIC_SEQ_CST);
    do {
        errno = 0;
        if (self->is_timeout)
            eventry_update_timeout(self->id, 0);
        else
            eventry_update_handle(self->id, R);
    } while (errno != EINVAL && now_ms() < end);
    check(errno == EINVAL, "removed while it was called");
    sleep_ms(20);
    __atomic_store_n(&self->value, 2, __ATOMIC_SEQ_CST);
}

static void wait_for(struct entry *inside, struct entry *held)
{
    struct entry *idle = on_pipe("idle", R), *timer = timeout("timer", 1000);

    say("idle=%d,%d", remove_and_wait(idle), remove_and_wait(timer));
    SAY_ERRNO("again", remove_and_wait(idle));
    idle->removed = timer->removed = 1;
    inside->other = on_pipe("other", R);
    inside->then = wait_inside;
    if (inside->is_timeout)
        eventry_update_timeout(inside->id, 0);
    else
        feed(inside);
    check(run_until(&inside->calls, 2), "what refused to wait for itself is called again");
    drop(inside);
    held->then = outlast_removal;
    if (held->is_timeout)
        eventry_update_timeout(held->id, 0);
    else
        feed(held);
    start_runner();
    check(wait_until(&held->value, 1), "the callback runs");
    say("elsewhere=%d", remove_and_wait(held));
    say("over=%d", __atomic_load_n(&held->value, __ATOMIC_SEQ_CST) == 2);
    held->removed = 1;
    SAY_ERRNO("again", remove_and_wait(held));
    check(wait_until(&held->freed, 1) && wait_until(&idle->freed, 1), "freed");
    say("calls=%d", held->calls);
}

static void handle_and_wait(void) { wait_for(on_pipe("inside", R), on_pipe("held", R)); }
static void timeout_and_wait(void) { wait_for(timeout("inside", -1), timeout("held", -1)); }

#define WAITED                                                          \
    "idle=0,0 again=-1,EINVAL inside=-1,EDEADLK elsewhere=0 over=1 again=-1,EINVAL calls=1"

const struct test removal_cases[] = {
    OWN("no-free", no_free, "0 0 calls=1"),
    OWN("status", status, "idle=0,0 inside=1 again=-1 elsewhere=1 calls=1"),
    OWN("handle-and-wait", handle_and_wait, WAITED),
    OWN("timeout-and-wait", timeout_and_wait, WAITED),
    { 0 },
};
