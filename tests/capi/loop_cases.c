/* The loop itself: registration, threads, nesting, free callbacks, fork. */
#include "conformance.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_nothing(int timer, void *opaque)
{
    (void)timer;
    (void)opaque;
}

static void on_call(int timer, void *opaque)
{
    (void)timer;
    ++*(int *)opaque;
}

static void on_free(void *opaque)
{
    *(int *)opaque += 10;
}

/* Adds a timeout, calls, removes and frees it. Returns 0 for success. */
static int use_once(void)
{
    int state = 0, tries, timer = api->add_timeout(0, on_call, &state, on_free);

    for (tries = 0; tries < 100 && state == 0; tries++)
        if (api->run_once() != 0)
            return 1;
    if (timer < 1 || state != 1 || api->remove_timeout(timer) != 0)
        return 2;
    /* The frees are done at the latest at the beginning of a turn, which this timeout ends. */
    timer = api->add_timeout(0, on_nothing, NULL, NULL);
    if (api->run_once() != 0 || api->remove_timeout(timer) != 0)
        return 3;
    return state == 11 ? 0 : 4;
}

static int status_of(pid_t child)
{
    int status = 0;

    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Runs before the first use of the loop in this process. The child has a loop of its own, which its child lacks. */
static void first_use_in_a_child(void)
{
    pid_t child = fork(), grandchild;

    if (child == 0) {
        int own = use_once();
        grandchild = fork();
        if (grandchild == 0)
            _exit(use_once());
        _exit(10 * own + status_of(grandchild));
    }
    say("child=%d", status_of(child));
    say("parent=%d", use_once());
}

/* Runs first: libvirt has no implementation yet, and eventry creates its loop at the first use. */
static void before(void)
{
    int handle = api->add_handle(0, R, (on_handle_fn)abort, NULL, NULL);
    int timer = api->add_timeout(1000, on_nothing, NULL, NULL);

    api->update_handle(1, R);
    api->update_timeout(1, 5);
    say("add=%s,%s", handle > 0 ? "taken" : "refused", timer > 0 ? "taken" : "refused");
    say("remove=%d,%d", api->remove_handle(handle), api->remove_timeout(timer));
    say("unknown=%d,%d", api->remove_handle(99), api->remove_timeout(99));
}

static void registers(void)
{
    int first = api->register_default(), second = api->register_default();

    say("%d %d", first, second);
}

static int order[4];
static int freed_in_order;
static pthread_t freed_by[4];

static void note_free(void *opaque)
{
    freed_by[freed_in_order] = pthread_self();
    order[freed_in_order] = (int)(long)opaque;
    __atomic_add_fetch(&freed_in_order, 1, __ATOMIC_SEQ_CST);
}

static pthread_t loop_thread;

static void note_thread(struct entry *self)
{
    loop_thread = pthread_self();
    drop(self);
}

/* Removes entries on another thread during a callback, so that all are freed together. */
static void hold(struct entry *self)
{
    note_thread(self);
    __atomic_store_n(&self->value, 1, __ATOMIC_SEQ_CST);
    check(wait_until(&self->other->value, 1), "the removals were made");
}

static void free_order(void)
{
    struct entry *holder, *done = entry("done");
    int ids[4], at, ours = 0, ends[2];

    if (pipe(ends) < 0)
        abort();
    freed_in_order = 0;
    for (at = 1; at <= 3; at++)
        ids[at] = api->add_handle(ends[0], R, (on_handle_fn)abort, (void *)(long)at, note_free);
    ids[0] = api->add_timeout(-1, on_nothing, (void *)10L, note_free);
    turn();
    holder = timeout("holder", -1);
    holder->then = hold;
    holder->other = done;
    api->update_timeout(holder->id, 0);
    start_runner();
    check(wait_until(&holder->value, 1), "the loop is inside a callback");
    api->remove_handle(ids[3]);
    api->remove_timeout(ids[0]);
    api->remove_handle(ids[1]);
    api->remove_handle(ids[2]);
    check(freed_in_order == 0, "freed inside a removal");
    __atomic_store_n(&done->value, 1, __ATOMIC_SEQ_CST);
    check(wait_until(&freed_in_order, 4), "all were freed");
    stop_runner();
    for (at = 0; at < 4; at++)
        ours += pthread_equal(freed_by[at], loop_thread) != 0;
    say("%d %d %d %d by-the-loop=%d", order[0], order[1], order[2], order[3], ours);
    close(ends[0]);
    close(ends[1]);
}

static int reentered;

static void reenter(void *opaque)
{
    int *ends = opaque, handle, timer;

    handle = api->add_handle(ends[0], R, (on_handle_fn)abort, NULL, NULL);
    timer = api->add_timeout(1000, on_nothing, NULL, NULL);
    api->update_handle(handle, 0);
    api->update_timeout(timer, -1);
    say("added=%d removed=%d,%d", handle > 0 && timer > 0, api->remove_handle(handle),
        api->remove_timeout(timer));
    reentered = 1;
}

static void m(void)
{
    int ends[2], handle;

    if (pipe(ends) < 0)
        abort();
    reentered = 0;
    handle = api->add_handle(ends[0], R, (on_handle_fn)abort, ends, reenter);
    api->remove_handle(handle);
    check(run_until(&reentered, 1), "the free callback was called");
    turn();
    close(ends[0]);
    close(ends[1]);
}

static void take_one(struct entry *self) { take(self); }
static void drop_self(struct entry *self) { drop(self); }

static void z(void)
{
    struct entry *it, *zero;
    int at, called = 0;

    start_runner();
    for (at = 0; at < 10; at++) {
        sleep_ms(2);
        it = on_pipe("it", 0);
        it->then = take_one;
        feed(it);
        api->update_handle(it->id, R);
        called += wait_until(&it->calls, 1);
        zero = timeout("zero", -1);
        zero->then = drop_self;
        sleep_ms(1);
        api->update_timeout(zero->id, 0);
        called += wait_until(&zero->calls, 1);
    }
    say("called=%d", called);
}

static void aa(void)
{
    int seen = 0, status;
    pid_t child;

    turn();
    child = fork();
    if (child == 0) {
        int ends[2], id, bad = pipe(ends) < 0;
        id = api->add_handle(ends[0], R, (on_handle_fn)abort, NULL, NULL);
        bad |= api->remove_handle(id) != 0;
        id = api->add_timeout(0, on_nothing, NULL, NULL);
        _exit(id > 0 && !bad ? 1 : 0);
    }
    waitpid(child, &status, 0);
    seen = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    say("child=%s", seen == 1 ? "taken" : seen == 0 ? "refused" : "crashed");
    say("parent=%s", load_of(30));
}

static void wait_for_release(struct entry *self)
{
    __atomic_store_n(&self->value, 1, __ATOMIC_SEQ_CST);
    sleep_ms(40);
    drop(self);
}

static int overlaps, inside;

static void watch_overlap(struct entry *self)
{
    (void)self;
    overlaps += __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST) > 1;
    __atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST);
}

static void ab(void)
{
    struct entry *holder = timeout("holder", -1), *busy = timeout("busy", 0);

    overlaps = inside = 0;
    holder->then = wait_for_release;
    busy->then = watch_overlap;
    api->update_timeout(holder->id, 0);
    start_runner();
    check(wait_until(&holder->value, 1), "the loop is inside a callback");
    say("second=%d", api->run_once());
    stop_runner();
    say("overlaps=%d", overlaps);
}

static void am(void)
{
    struct entry *it = on_pipe("it", R);
    int removed;

    it->then = wait_for_release;
    feed(it);
    start_runner();
    check(wait_until(&it->value, 1), "the callback runs");
    removed = drop(it);
    say("removed=%d called=%d freed=%d", removed, it->calls, it->freed);
    check(wait_until(&it->freed, 1), "freed in the end");
    say("called=%d freed=%d", it->calls, it->freed);
}

static int release;

static void busy_until_released(struct entry *self)
{
    self->then = NULL;
    __atomic_store_n(&self->value, 1, __ATOMIC_SEQ_CST);
    check(wait_until(&release, 1), "released");
}

static void *change_often(void *opaque)
{
    struct entry *busy = opaque;
    int at, it = api->add_timeout(10000, on_nothing, NULL, NULL);

    check(wait_until(&busy->value, 1), "the callback runs");
    for (at = 0; at < 500; at++)
        api->update_timeout(it, 10000 - at);
    api->remove_timeout(it);
    __atomic_store_n(&release, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void ao(void)
{
    struct entry *busy = timeout("busy", 0);
    pthread_t changer;
    int runs;

    release = 0;
    busy->then = busy_until_released;
    pthread_create(&changer, NULL, change_often, busy);
    while (!busy->calls)
        api->run_once();
    pthread_join(changer, NULL);
    drop(busy);
    runs = run_for(40);
    say("afterwards=%s", runs < 10 ? "few" : "many");
}

static void nest(struct entry *self)
{
    self->then = NULL;
    say("{%d}", api->run_once());
}

static void aw(void)
{
    struct entry *a = on_pipe("a:", R), *b = on_pipe("b:", R);

    turn();
    feed(a);
    feed(b);
    a->then = nest;
    api->run_once();
    say("a=%d b=%d", a->calls, b->calls);
}

const struct test loop_cases[] = {
    SAME("M", m, "added=1 removed=0,0"),
    SAME("Z", z, "called=20"),
    DIFFERS("AA", aa, "child=refused parent=quiet", "EV-1105", "child=taken parent=quiet"),
    DIFFERS("AB", ab, "second=-1 overlaps=0", "EV-1101", "second=0 overlaps=0"),
    SAME("AM", am, "removed=0 called=0 freed=0 called=1 freed=1"),
    SAME("AO", ao, "afterwards=few"),
    DIFFERS("AW", aw, "{-1} a=1 b=1", "EV-511", "{0} a=1 b=1"),
    DIFFERS("e.c-3", free_order, "3 10 1 2 by-the-loop=4", "EV-710", "3 1 2 10 by-the-loop=4"),
    { 0 },
};

const struct test first_cases[] = {
    /* The run of the grandchild is refused. */
    OWN("first-use-in-a-child", first_use_in_a_child, "child=1 parent=0"),
    DIFFERS("e.c-1", before, "add=taken,taken remove=0,0 unknown=-1,-1", "EV-101",
            "add=refused,refused remove=-1,-1 unknown=-1,-1"),
    DIFFERS("e.c-2", registers, "0 1", "EV-102", "0 0"),
    { 0 },
};
