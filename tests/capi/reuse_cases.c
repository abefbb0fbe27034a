/* Numbers that are closed and opened again as another file while an old handle is registered. */
#include "conformance.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* No other thread opens this number. */
enum { NUMBER = 200 };

/* Opens the number as a file, whose other descriptor is closed. */
static void open_as(int fd)
{
    if (fd < 0 || dup2(fd, NUMBER) != NUMBER)
        abort();
    close(fd);
}

/* Opens the number as a new pipe, and adds a handle. */
static struct entry *open_pipe(const char *name, int events)
{
    struct entry *it;
    int ends[2];

    if (pipe(ends) < 0)
        abort();
    open_as(ends[0]);
    it = on_fd(name, NUMBER, events);
    it->peer = ends[1];
    return it;
}

static void reopened(void)
{
    struct entry *old = open_pipe("old:", R), *new;

    turn();
    close(NUMBER);
    new = open_pipe("new:", R);
    feed(new);
    logs_calls = 1;
    turn();
    drop(old);
    turn();
    take(new);
    turn();
    feed(new);
    turn();
    close(NUMBER);
}

static void drop_other(struct entry *self)
{
    drop(self->other);
    drop(self);
}

/* The loop's thread removes the old handle after the new one was added. */
static void removed_by_loop(void)
{
    struct entry *old = open_pipe("old:", R), *remover, *new;

    turn();
    close(NUMBER);
    new = open_pipe("new:", R);
    remover = timeout("remover", 0);
    remover->other = old;
    remover->then = drop_other;
    turn();
    feed(new);
    logs_calls = 1;
    turn();
    close(NUMBER);
}

/* The loop waits on its thread meanwhile. */
static void during_wait(void)
{
    struct entry *old = open_pipe("old:", R), *new;

    start_runner();
    sleep_ms(20);
    close(NUMBER);
    new = open_pipe("new:", R);
    drop(old);
    feed(new);
    say("called=%d", wait_until(&new->calls, 1));
    drop(new);
    stop_runner();
    close(NUMBER);
}

/* The old handle is disabled, and the new one added, between two turns. */
static void after_disabling(struct entry *old)
{
    struct entry *new;

    turn();
    api->update_handle(old->id, 0);
    close(NUMBER);
    new = open_pipe("new:", R);
    logs_calls = 1;
    turns(2);
    feed(new);
    turn();
    close(NUMBER);
}

static void disabled_pipe(void)
{
    after_disabling(open_pipe("old:", R));
}

static void disabled_file(void)
{
    open_as(open("/proc/self/exe", O_RDONLY));
    after_disabling(on_fd("old:", NUMBER, R));
}

/* An update with the same interest is for the new file, too. */
static void updated(void)
{
    struct entry *it = open_pipe("it:", R);
    int ends[2];

    turn();
    close(NUMBER);
    if (pipe(ends) < 0 || write(ends[1], "x", 1) != 1)
        abort();
    open_as(ends[0]);
    api->update_handle(it->id, R);
    logs_calls = 1;
    turn();
    close(NUMBER);
    close(ends[1]);
}

/* A duplicate keeps the old file open, and the process has no free descriptor. */
static void without_descriptor(void)
{
    struct entry *old = open_pipe("old:", R), *new;
    int copy = dup(NUMBER), held[NUMBER], count = 0, ends[2];
    struct rlimit before, few;

    turn();
    new = on_pipe("new:", R);
    if (copy < 0 || pipe(ends) < 0 || dup2(ends[0], NUMBER) != NUMBER || getrlimit(RLIMIT_NOFILE, &before) < 0)
        abort();
    few = before;
    few.rlim_cur = NUMBER;
    drop(old);
    feed(old);
    if (setrlimit(RLIMIT_NOFILE, &few) < 0)
        abort();
    while (count < NUMBER && (held[count] = dup(copy)) >= 0)
        count++;
    say("%s", load_of(30));
    feed(new);
    logs_calls = 1;
    turn();
    setrlimit(RLIMIT_NOFILE, &before);
    while (count-- > 0)
        close(held[count]);
    close(copy);
    close(NUMBER);
    close(ends[0]);
    close(ends[1]);
}

const struct test reuse_cases[] = {
    SAME("reopened", reopened, "old:1 new:1 | new:1 | | new:1 |"),
    SAME("reopened-removed", removed_by_loop, "new:1 |"),
    SAME("reopened-waiting", during_wait, "called=1"),
    SAME("reopened-disabled", disabled_pipe, "| | new:1 |"),
    SAME("reopened-file", disabled_file, "| | new:1 |"),
    SAME("reopened-updated", updated, "it:1 |"),
    SAME("reopened-full", without_descriptor, "quiet new:1 |"),
    { 0 },
};
