/* Effects of other code on the loop: threads that change it continuously, GLib sources of the application,
 * duplicates of closed descriptors. */
#include "conformance.h"

#include <glib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int is_set(const int *flag) { return __atomic_load_n(flag, __ATOMIC_SEQ_CST); }
static void set(int *flag) { __atomic_store_n(flag, 1, __ATOMIC_SEQ_CST); }

/* --- Contention --- */

enum { CONTENTION_MS = 300, MOST_UNFREED = 1000 };

static int changes, unfreed;

static void on_nothing(int watch, int fd, int events, void *opaque)
{
    (void)watch, (void)fd, (void)events, (void)opaque;
}

static void on_freed(void *unused)
{
    (void)unused;
    __atomic_sub_fetch(&unfreed, 1, __ATOMIC_SEQ_CST);
}

/* Limits the number of entries that wait to be freed: they make each turn of libvirt's loop longer, so that the
 * case would not end. */
static void *add_and_remove(void *opaque)
{
    const struct entry *idle = opaque;
    double end = now_ms() + CONTENTION_MS;

    while (now_ms() < end) {
        if (__atomic_load_n(&unfreed, __ATOMIC_SEQ_CST) >= MOST_UNFREED)
            continue;
        __atomic_add_fetch(&unfreed, 1, __ATOMIC_SEQ_CST);
        api->remove_handle(api->add_handle(idle->fd, R, on_nothing, NULL, on_freed));
        changes++;
    }
    return NULL;
}

static void *update(void *opaque)
{
    const struct entry *idle = opaque;
    double end = now_ms() + CONTENTION_MS;

    while (now_ms() < end)
        api->update_handle(idle->id, ++changes % 2 ? 0 : R);
    return NULL;
}

static int run_until_freed(void)
{
    double end = now_ms() + TIMEOUT_MS;

    while (__atomic_load_n(&unfreed, __ATOMIC_SEQ_CST) > 0 && now_ms() < end)
        turn();
    return __atomic_load_n(&unfreed, __ATOMIC_SEQ_CST) == 0;
}

/* Counts the calls of an always-ready handle, without and with another thread that changes the loop. */
static void contend(const char *name, void *(*change)(void *))
{
    enum { FLOOR = 5 };
    struct entry *busy = on_socket("busy", W), *idle = on_pipe("idle", R);
    int quiet, contended, turns;
    pthread_t changer;

    changes = unfreed = 0;
    run_for(CONTENTION_MS);
    quiet = busy->calls;
    if (pthread_create(&changer, NULL, change, idle) != 0)
        abort();
    turns = run_for(CONTENTION_MS);
    contended = busy->calls - quiet;
    pthread_join(changer, NULL);
    check(run_until_freed(), "what was removed was freed");
    printf("%s: %s: %d calls in %d ms, %d in %d turns beside %d changes\n", name, api->name, quiet, CONTENTION_MS,
           contended, turns, changes);
    say("quiet=%d contended=%d changes=%d idle=%d", quiet > FLOOR, contended > FLOOR && contended >= turns / 4,
        changes > 0, idle->calls);
}

static void ak(void) { contend("AK", add_and_remove); }
static void ak2(void) { contend("AK2", update); }

/* --- The default main context of GLib --- */

static gboolean on_idle(gpointer opaque)
{
    set(opaque);
    return G_SOURCE_REMOVE;
}

static void *own_context(void *opaque)
{
    g_main_loop_run(opaque);
    return NULL;
}

static int returned;

static void *run_once(void *unused)
{
    (void)unused;
    check(api->run_once() == 0, "run_once");
    set(&returned);
    return NULL;
}

static pthread_t called_by;

static void note_thread(struct entry *self)
{
    called_by = pthread_self();
    drop(self);
}

static void shared_source(void)
{
    int called = 0;
    guint source = g_idle_add(on_idle, &called);

    run_for(20);
    if (!called)
        g_source_remove(source);
    say("idle-source=%s", called ? "called" : "untouched");
}

/* Another thread owns the context while this loop runs. */
static void owned_context(void)
{
    GMainLoop *loop = g_main_loop_new(NULL, FALSE);
    struct entry *it = timeout("it", -1), *last;
    int owned = 0, waits = 0;
    pthread_t owner, runs;

    returned = 0;
    it->then = note_thread;
    g_idle_add(on_idle, &owned);
    if (pthread_create(&owner, NULL, own_context, loop) != 0)
        abort();
    check(wait_until(&owned, 1), "the context is owned");
    if (pthread_create(&runs, NULL, run_once, NULL) != 0)
        abort();
    api->update_timeout(it->id, 0);
    check(wait_until(&it->calls, 1), "called");
    while (!is_set(&returned) && waits++ < 100)
        sleep_ms(5);
    say("returned=%d by=%s", is_set(&returned),
        pthread_equal(called_by, runs) ? "the-runner" : pthread_equal(called_by, owner) ? "the-owner" : "another");
    g_main_loop_quit(loop);
    pthread_join(owner, NULL);
    last = timeout("last", 0);
    pthread_join(runs, NULL);
    drop(last);
    g_main_loop_unref(loop);
}

static void default_context(void)
{
    shared_source();
    owned_context();
}

/* --- A duplicate that outlives its descriptor --- */

static void ph(void)
{
    struct entry *old = on_pipe("old:", R), *new;
    int copy, number = old->fd, ends[2];

    turn();
    /* Violates the rules: closed before the removal, with an open duplicate. */
    copy = dup(number);
    if (copy < 0 || pipe(ends) < 0 || dup2(ends[0], number) != number)
        abort();
    old->owns_fd = 0;
    drop(old);
    new = on_fd("new:", number, R);
    feed(old);
    logs_calls = 1;
    turns(3);
    check(write(ends[1], "x", 1) == 1, "a byte was written");
    turn();
    logs_calls = 0;
    take(new);
    close(copy);
    say("%s", load_of(30));
    drop(new);
    close(number);
    close(ends[0]);
    close(ends[1]);
}

const struct test libvirt_interop[] = {
    SAME("AK", ak, "quiet=1 contended=1 changes=1 idle=0"),
    SAME("AK2", ak2, "quiet=1 contended=1 changes=1 idle=0"),
    DIFFERS("g.c", default_context, "idle-source=untouched returned=1 by=the-runner", "EV-1102",
            "idle-source=called returned=0 by=the-owner"),
    SAME("ph", ph, "| | | new:1 | quiet"),
    { 0 },
};
