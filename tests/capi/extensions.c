/* Extensions of eventry: errno, ids of the two kinds, stop, statistics. */
#include "conformance.h"

#include <errno.h>
#include <limits.h>
#include <eventry.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void never(int watch, int fd, int events, void *opaque)
{
    (void)watch, (void)fd, (void)events, (void)opaque;
    abort();
}

static void never_free(void *opaque)
{
    (void)opaque;
    abort();
}

static void refusals(void)
{
    SAY_ERRNO("negative", eventry_add_handle(-1, R, never, NULL, never_free));
    SAY_ERRNO("beyond", eventry_add_handle(INT_MAX, R, never, NULL, never_free));
    SAY_ERRNO("null-handle", eventry_add_handle(0, R, NULL, NULL, never_free));
    SAY_ERRNO("null-timeout", eventry_add_timeout(0, NULL, NULL, never_free));
    SAY_ERRNO("unknown-handle", eventry_remove_handle(1999999999));
    SAY_ERRNO("unknown-timeout", eventry_remove_timeout(1999999999));
    SAY_ERRNO("status", eventry_remove_handle_status(0));
    SAY_ERRNO("status", eventry_remove_timeout_status(-7));
    SAY_ERRNO("and-wait", eventry_remove_handle_and_wait(1999999999));
    SAY_ERRNO("and-wait", eventry_remove_timeout_and_wait(0));
    SAY_ERRNO("update", (eventry_update_handle(0, R), 0));
    SAY_ERRNO("update", (eventry_update_timeout(-2147483647 - 1, 0), 0));
    turn();
}

static void other_kind(void)
{
    struct entry *handle = on_pipe("handle:", R), *timer = timeout("timer", -1);

    feed(handle);
    check(handle->id != timer->id, "one counter");
    say("%d %d", eventry_remove_timeout(handle->id), eventry_remove_handle(timer->id));
    eventry_update_timeout(handle->id, 0);
    eventry_update_handle(timer->id, R);
    logs_calls = 1;
    turn();
}

static void count(int timer, void *opaque)
{
    (void)timer;
    ++*(int *)opaque;
}

static int stop_answer;

static void *stop_later(void *opaque)
{
    (void)opaque;
    sleep_ms(20);
    stop_answer = eventry_stop();
    return NULL;
}

static void stop_self(struct entry *self)
{
    (void)self;
    eventry_stop();
}

static void stop(void)
{
    struct entry *it = timeout("it", -1);
    pthread_t other;

    pthread_create(&other, NULL, stop_later, NULL);
    say("run=%d", eventry_run());
    pthread_join(other, NULL);
    say("stop=%d", stop_answer);
    pthread_create(&other, NULL, stop_later, NULL);
    say("run_once=%d", eventry_run_once());
    pthread_join(other, NULL);
    /* The first stop ended one turn; this stop ends the next. */
    eventry_stop();
    say("latched=%d", eventry_run_once());
    say("%s", load_of(30));
    it->then = stop_self;
    eventry_update_timeout(it->id, 0);
    say("callback=%d", eventry_run());
    check(it->calls > 0, "the callback that stops was called");
    eventry_update_timeout(it->id, -1);
    eventry_stop();
    say("latched=%d", eventry_run());
    say("%s", load_of(30));
}

static void nested(struct entry *self)
{
    self->then = NULL;
    SAY_ERRNO("run_once", eventry_run_once());
    SAY_ERRNO("run", eventry_run());
}

static void nesting(void)
{
    struct entry *it = timeout("it", 0);

    it->then = nested;
    check(run_until(&it->calls, 1), "called");
}

static void forks(void)
{
    struct entry *it = on_pipe("it", R);
    int status = 0;
    pid_t child;

    turn();
    child = fork();
    if (child == 0) {
        struct eventry_stats stats;
        int bad = 0;
        errno = 0;
        bad |= (eventry_remove_handle(it->id) != -1 || errno != EPERM) << 0;
        bad |= (eventry_add_timeout(0, count, &bad, never_free) != -1) << 1;
        bad |= (eventry_add_handle(it->fd, R, never, NULL, never_free) != -1) << 2;
        bad |= (eventry_run_once() != -1 || eventry_run() != -1) << 3;
        bad |= (eventry_stop() != -1 || eventry_register() != -1) << 4;
        bad |= (eventry_remove_timeout(it->id) != -1 || errno != EPERM) << 5;
        errno = 0;
        eventry_update_handle(it->id, 0);
        bad |= (errno != EPERM) << 6;
        bad |= (eventry_remove_handle_and_wait(it->id) != -1 || errno != EPERM) << 7;
        bad |= (eventry_remove_timeout_and_wait(it->id) != -1 || errno != EPERM) << 7;
        bad |= (eventry_stats(&stats, sizeof(stats)) != -1 || errno != EPERM) << 7;
        _exit(bad);
    }
    waitpid(child, &status, 0);
    say("child=%d", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    feed(it);
    turn();
    say("parent=%d", it->calls);
}

static int load_ends, load_calls;

static void count_load(int watch, int fd, int events, void *opaque)
{
    (void)fd, (void)events, (void)opaque;
    eventry_update_handle(watch, 0);
    __atomic_add_fetch(&load_calls, 1, __ATOMIC_SEQ_CST);
}

/* Adds handles that are ready, and removes each after its call. */
static void *load(void *opaque)
{
    const struct entry *ready = opaque;
    int added = 0;

    while (!__atomic_load_n(&load_ends, __ATOMIC_SEQ_CST)) {
        int id = eventry_add_handle(ready->fd, R, count_load, NULL, NULL);
        check(wait_until(&load_calls, ++added), "a handle was not lost");
        check(eventry_remove_handle_and_wait(id) == 0, "a handle was removed");
    }
    return NULL;
}

/* In a forked child: executes a program if the functions refuse it, or ends, without the exit of the C library. */
static void end_child(int id, int executes)
{
    int refused;

    alarm(TIMEOUT_MS / 1000); /* a function that is not refused may wait for a lock forever */
    errno = 0;
    refused = eventry_remove_handle(id) == -1 && errno == EPERM;
    errno = 0;
    refused &= eventry_stop() == -1 && errno == EPERM;
    if (refused && executes)
        execlp("true", "true", (char *)NULL);
    else if (refused)
        raise(SIGKILL);
    _exit(1);
}

static void forks_of_a_busy_process(void)
{
    struct entry *it = on_pipe("it", R), *ready = on_pipe("ready", 0);
    int fork_count, executed = 0, killed = 0, lost = 0, status;
    pthread_t changes;

    it->then = take;
    feed(ready);
    load_ends = load_calls = 0;
    start_runner();
    if (pthread_create(&changes, NULL, load, ready) != 0)
        abort();
    /* Ends with the first child that was not refused. */
    for (fork_count = 0; fork_count < 100 && executed + killed == fork_count; fork_count++) {
        pid_t child;
        feed(it);
        child = fork();
        if (child == 0)
            end_child(it->id, fork_count % 2);
        waitpid(child, &status, 0);
        executed += WIFEXITED(status) && WEXITSTATUS(status) == 0;
        killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        lost += !wait_until(&it->calls, fork_count + 1);
    }
    __atomic_store_n(&load_ends, 1, __ATOMIC_SEQ_CST);
    pthread_join(changes, NULL);
    stop_runner();
    say("executed=%d killed=%d lost=%d calls=%d", executed, killed, lost, it->calls);
}

static struct eventry_stats now(void)
{
    struct eventry_stats stats;

    check(eventry_stats(&stats, sizeof(stats)) == 0, "the statistics");
    return stats;
}

static void stats(void)
{
    struct eventry_stats before = now(), after;
    struct entry *handle = on_pipe("handle", R), *timer = timeout("timer", 0);
    struct {
        struct eventry_stats known;
        uint64_t later, beyond;
    } longer = { .later = 9, .beyond = 9 };
    int tries = 0;

    after = now();
    say("added=%d,%d", (int)(after.handles - before.handles), (int)(after.timeouts - before.timeouts));
    check(run_until(&timer->calls, 1), "called");
    after = now();
    say("called=%d turned=%d", after.calls > before.calls, after.turns > before.turns);
    eventry_update_timeout(timer->id, -1);
    settle();
    before = now();
    drop(handle);
    after = now();
    say("removed=%d", (int)(after.pending_frees - before.pending_frees));
    settle();
    after = now();
    say("freed=%d", after.frees > before.frees);
    /* Each new deadline is nearer than the current one, so a change during a sleep wakes the loop. */
    start_runner();
    do {
        eventry_update_timeout(timer->id, 1000000 - tries);
        usleep(500);
    } while (now().wakes == before.wakes && ++tries < 10000);
    stop_runner();
    say("woken=%d", now().wakes > before.wakes);
    after = before = now();
    after.timeouts = 99;
    eventry_stats(&after, offsetof(struct eventry_stats, timeouts));
    say("short=%d", after.handles == before.handles && after.timeouts == 99);
    eventry_stats(&longer.known, offsetof(typeof(longer), beyond));
    say("long=%d,%d", (int)longer.later, (int)longer.beyond);
    SAY_ERRNO("null", eventry_stats(NULL, sizeof(after)));
}

static void version(void)
{
    say("%d", eventry_version() == EVENTRY_VERSION);
    say("%d", eventry_register());
}

const struct test extensions[] = {
    OWN("errno", refusals,
        "negative=-1,EBADF beyond=-1,EBADF null-handle=-1,EINVAL null-timeout=-1,EINVAL "
        "unknown-handle=-1,EINVAL unknown-timeout=-1,EINVAL status=-1,EINVAL status=-1,EINVAL "
        "and-wait=-1,EINVAL and-wait=-1,EINVAL update=0,EINVAL update=0,EINVAL"),
    OWN("other-kind", other_kind, "-1 -1 handle:1 |"),
    OWN("stop", stop, "run=0 stop=0 run_once=0 latched=0 quiet callback=0 latched=0 quiet"),
    OWN("nesting", nesting, "run_once=-1,EBUSY run=-1,EBUSY"),
    OWN("fork", forks, "child=0 parent=1"),
    OWN("fork-busy", forks_of_a_busy_process, "executed=50 killed=50 lost=0 calls=100"),
    OWN("stats", stats,
        "added=1,1 called=1 turned=1 removed=1 freed=1 woken=1 short=1 long=0,9 null=-1,EINVAL"),
    OWN("version", version, "1 1"),
    { 0 },
};
