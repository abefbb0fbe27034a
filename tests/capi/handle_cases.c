/* Masks, several handles on one descriptor, changes while handles are ready, unusual descriptors. */
#include "conformance.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Reports the number of calls and the union of their events. */
static void tell(const struct entry *it)
{
    say("%s=%d/%d", it->name, it->calls, it->events);
}

static void two_on_one(int first, int second)
{
    struct entry *a = on_socket("a", first), *b = on_fd("b", a->fd, second);

    feed(a);
    if (second == W)
        check(write(a->fd, "x", 1) == 1, "a byte was written");
    turns(3);
    tell(a);
    tell(b);
}

static void a(void) { two_on_one(R, W); }
static void b(void) { two_on_one(R, R); }

static void close_early(int events)
{
    struct entry *it = on_pipe("it", events);

    turn();
    close_peer(it);
    close(it->fd);
    it->owns_fd = 0;
    say("%s", load_of(60));
    say("calls=%d", it->calls);
}

static void c(void) { close_early(R); }
static void c2(void) { close_early(0); }

static void d(void)
{
    struct entry *it = on_pipe("it", 0);

    close_peer(it);
    turns(3);
    tell(it);
    say("%s", load_of(30));
}

static void e(void)
{
    struct entry *at_end = on_pipe("end", R), *error = on_pipe("error", E), *hangup = on_pipe("hangup", H);
    struct entry *broken;
    int ends[2];

    if (pipe(ends) < 0)
        abort();
    broken = on_fd("broken", ends[1], W);
    close(ends[0]);
    close_peer(at_end);
    close_peer(error);
    close_peer(hangup);
    turn();
    tell(at_end);
    tell(broken);
    tell(error);
    tell(hangup);
    drop(broken);
    close(ends[1]);
}

static void e2(void)
{
    struct entry *closed = on_socket("closed", R), *half = on_socket("half", R);
    struct entry *half_hangup = on_socket("half-hangup", H);

    feed(closed);
    close_peer(closed);
    shutdown(half->peer, SHUT_WR);
    shutdown(half_hangup->peer, SHUT_WR);
    turn();
    tell(closed);
    tell(half);
    tell(half_hangup);
}

static void f(void)
{
    struct entry *it = on_socket("errors-only", E | H);

    feed(it);
    turns(3);
    tell(it);
}

static void f_unknown(void)
{
    struct entry *it = on_pipe("unknown-only", 16), *more = on_pipe("unknown-too", 16 | R);

    close_peer(it);
    feed(more);
    turns(3);
    tell(it);
    tell(more);
}

/* Three ready handles; the first changes the third. */
static struct entry *trio[3];

static void three(void (*then)(struct entry *))
{
    int at;
    static const char *const names[] = { "a:", "b:", "c:" };

    for (at = 0; at < 3; at++)
        trio[at] = on_pipe(names[at], R);
    turn();
    for (at = 0; at < 3; at++)
        feed(trio[at]);
    trio[0]->then = then;
    logs_calls = 1;
}

static void drop_third(struct entry *self)
{
    self->then = NULL;
    say("[%d]", drop(trio[2]));
}

static void g(void)
{
    three(drop_third);
    turns(2);
    say("freed=%d", trio[2]->freed);
}

static void drop_self_twice(struct entry *self)
{
    say("[%d", drop(self));
    say("%d]", drop(self));
    api->update_handle(self->id, R | W);
    check(!self->freed, "freed inside its own callback");
}

static void g2(void)
{
    three(drop_self_twice);
    turns(2);
    say("freed=%d", trio[0]->freed);
}

static void disable_second(struct entry *self)
{
    self->then = NULL;
    api->update_handle(trio[1]->id, 0);
}

static void h(void)
{
    three(disable_second);
    turns(2);
    logs_calls = 0;
    api->update_handle(trio[1]->id, R);
    turn();
    say("again=%d", trio[1]->calls);
}

static void turn_second(struct entry *self)
{
    self->then = NULL;
    api->update_handle(trio[1]->id, W);
}

static void i(void)
{
    three(turn_second);
    turns(2);
}

static void add_one(struct entry *self)
{
    self->then = NULL;
    feed(on_pipe("new:", R));
}

static void j(void)
{
    three(add_one);
    turns(2);
}

static void reuse(struct entry *self)
{
    int ends[2], fd = trio[2]->fd;

    self->then = NULL;
    if (self->value)
        api->update_handle(trio[2]->id, 0);
    drop(trio[2]);
    if (pipe(ends) < 0 || dup2(ends[0], fd) != fd)
        abort();
    close(ends[0]);
    on_fd("new:", fd, R);
    self->value = ends[1];
}

static void k(void)
{
    three(reuse);
    turns(2);
    close(trio[0]->value);
}

static void k2(void)
{
    three(reuse);
    trio[0]->value = 1;
    turns(2);
    close(trio[0]->value);
}

static void drop_self(struct entry *self) { drop(self); }

static void l(void)
{
    struct entry *inside = on_pipe("inside", R), *outside = on_pipe("outside", R);

    turn();
    inside->then = drop_self;
    feed(inside);
    api->run_once();
    say("same=%d", inside->freed);
    settle();
    say("next=%d", inside->freed);
    drop(outside);
    say("at-once=%d", outside->freed);
    settle();
    say("then=%d", outside->freed);
}

static void w(void)
{
    struct entry *it;
    FILE *file = tmpfile();

    it = on_fd("file", fileno(file), R | W);
    turns(5);
    tell(it);
    drop(it);
    settle();
    fclose(file);
}

static void ae(void)
{
    int negative = api->add_handle(-1, R, (on_handle_fn)abort, NULL, NULL);
    struct entry *closed = on_fd("closed", 12345, R);

    say("negative=%s", negative > 0 ? "taken" : "refused");
    say("%s", load_of(60));
    tell(closed);
    api->remove_handle(negative);
    drop(closed);
    settle();
}

static void ad(void)
{
    struct rlimit limit, few;
    const char *load;
    int at, errors = dup(2), nowhere = open("/dev/null", O_WRONLY);

    for (at = 0; at < 60; at++)
        on_pipe("it", R);
    turn();
    /* GLib prints a warning in every iteration. */
    dup2(nowhere, 2);
    getrlimit(RLIMIT_NOFILE, &limit);
    few = limit;
    few.rlim_cur = 20;
    setrlimit(RLIMIT_NOFILE, &few);
    load = load_of(60);
    setrlimit(RLIMIT_NOFILE, &limit);
    dup2(errors, 2);
    close(errors);
    close(nowhere);
    say("%s", load);
}

static void aj(void)
{
    struct entry *busy = on_socket("busy", W), *fed = on_pipe("fed", R);
    int at;

    turn();
    busy->calls = 0;
    for (at = 0; at < 100; at++) {
        feed(fed);
        turn();
        take(fed);
    }
    tell(busy);
    tell(fed);
}

static void ar(void)
{
    three(NULL);
    turn();
    api->update_handle(trio[0]->id, R | W);
    api->update_handle(trio[0]->id, R);
    turn();
}

static void stale(void)
{
    struct entry *it = on_pipe("it:", R);

    feed(it);
    {
        int first = drop(it), second = drop(it);
        say("%d %d", first, second);
    }
    api->update_handle(it->id, R);
    api->update_handle(0, R);
    api->update_handle(-1, R);
    logs_calls = 1;
    turn();
    say("%d %d %d", api->remove_handle(0), api->remove_handle(-1), api->remove_handle(1999999999));
    say("%d %d %d", api->remove_timeout(0), api->remove_timeout(-1), api->remove_timeout(1999999999));
}

static void t(void)
{
    struct entry *first = on_pipe("first", R), *second = on_pipe("second", R), *third;

    drop(second);
    third = on_pipe("third", R);
    say("%d", first->id > 0 && second->id > first->id && third->id > second->id);
}

static void dup_of_one(void)
{
    struct entry *it = on_pipe("it:", R), *copy = on_fd("copy:", dup(it->fd), R);

    turn();
    feed(it);
    logs_calls = 1;
    drop(it);
    turn();
    drop(copy);
    close(copy->fd);
}

/* Handles on the standard descriptors, which are sockets for the time of the case. */
static void standard(void)
{
    static const char *const names[] = { "0:", "1:", "2:" };
    struct entry *it[3];
    int saved[3], fd, unchanged = 0;

    fflush(stdout);
    for (fd = 0; fd < 3; fd++) {
        int ends[2];
        saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (saved[fd] < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0 || dup2(ends[0], fd) != fd)
            abort();
        close(ends[0]);
        it[fd] = on_fd(names[fd], fd, R);
        it[fd]->peer = ends[1];
    }
    logs_calls = 1;
    for (fd = 0; fd < 3; fd++) {
        feed(it[fd]);
        turn();
        take(it[fd]);
    }
    logs_calls = 0;
    for (fd = 0; fd < 3; fd++)
        drop(it[fd]);
    settle();
    for (fd = 0; fd < 3; fd++) {
        unchanged += fcntl(fd, F_GETFL) == O_RDWR && fcntl(fd, F_GETFD) == 0;
        dup2(saved[fd], fd);
        close(saved[fd]);
    }
    say("unchanged=%d", unchanged);
}

const struct test handle_cases[] = {
    SAME("A", a, "a=3/1 b=3/2"),
    SAME("B", b, "a=3/1 b=3/1"),
    DIFFERS("C", c, "quiet calls=0", "EV-1001", "spin calls=0"),
    SAME("C2", c2, "quiet calls=0"),
    SAME("D", d, "it=0/0 quiet"),
    SAME("E", e, "end=1/8 broken=1/6 error=1/8 hangup=1/8"),
    SAME("E2", e2, "closed=1/9 half=1/1 half-hangup=0/0"),
    SAME("F", f, "errors-only=0/0"),
    DIFFERS("F-unknown", f_unknown, "unknown-only=0/0 unknown-too=3/1", "EV-306",
            "unknown-only=3/8 unknown-too=3/1"),
    SAME("G", g, "a:1 [0] b:1 | a:1 b:1 | freed=1"),
    SAME("G2", g2, "a:1 [0 -1] b:1 c:1 | b:1 c:1 | freed=1"),
    SAME("H", h, "a:1 c:1 | a:1 c:1 | again=1"),
    SAME("I", i, "a:1 c:1 | a:1 c:1 |"),
    SAME("J", j, "a:1 b:1 c:1 | a:1 b:1 c:1 new:1 |"),
    SAME("K", k, "a:1 b:1 | a:1 b:1 |"),
    SAME("K2", k2, "a:1 b:1 | a:1 b:1 |"),
    DIFFERS("L", l, "same=1 next=1 at-once=0 then=1", "EV-707", "same=0 next=1 at-once=0 then=1"),
    SAME("T", t, "1"),
    SAME("T-unknown", stale, "0 -1 | -1 -1 -1 -1 -1 -1"),
    SAME("W", w, "file=5/3"),
    DIFFERS("AD", ad, "quiet", "EV-906", "spin"),
    DIFFERS("AE", ae, "negative=refused quiet closed=1/4", "EV-208", "negative=taken spin closed=0/0"),
    SAME("AJ", aj, "busy=100/2 fed=100/1"),
    DIFFERS("AR", ar, "a:1 b:1 c:1 | a:1 b:1 c:1 |", "EV-503", "a:1 b:1 c:1 | b:1 c:1 a:1 |"),
    SAME("dup", dup_of_one, "copy:1 |"),
    SAME("standard", standard, "0:1 | 1:1 | 2:1 | unchanged=3"),
    { 0 },
};
