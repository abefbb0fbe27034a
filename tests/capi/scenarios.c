/* The fifteen scenarios of libvirt's test of its event loop. */
#include "conformance.h"

#include <stdio.h>

enum { MANY = 31 };

static struct entry *handles[MANY], *timeouts[MANY];

/* 31 handles and 31 disabled timeouts, all registered. */
static void many(void)
{
    static char names[2][MANY][8];
    int at;

    for (at = 0; at < MANY; at++) {
        snprintf(names[0][at], sizeof(names[0][at]), "h%d:", at);
        snprintf(names[1][at], sizeof(names[1][at]), "t%d", at);
        handles[at] = on_pipe(names[0][at], R);
        timeouts[at] = timeout(names[1][at], -1);
    }
    turn();
    logs_calls = 1;
}

static void drop_other(struct entry *self)
{
    drop(self->other);
}

static void drop_self(struct entry *self)
{
    drop(self);
}

static void disable_self(struct entry *self)
{
    if (self->is_timeout)
        api->update_timeout(self->id, -1);
    else
        take(self);
}

static void s1(void)
{
    many();
    feed(handles[1]);
    turn();
}

static void s2(void)
{
    many();
    drop(handles[1]);
    feed(handles[1]);
    turn();
}

static void s3(void)
{
    many();
    start_runner();
    sleep_ms(20);
    drop(handles[1]);
    feed(handles[1]);
    check(wait_until(&handles[1]->freed, 1), "the loop was woken to free");
    stop_runner();
    say("freed=%d", handles[1]->freed);
}

static void s4(void)
{
    many();
    handles[1]->then = drop_other;
    handles[1]->other = handles[2];
    feed(handles[1]);
    feed(handles[2]);
    turn();
}

static void s5(void)
{
    many();
    handles[1]->then = drop_self;
    feed(handles[1]);
    turns(2);
}

static void s6(void)
{
    many();
    timeouts[1]->then = disable_self;
    api->update_timeout(timeouts[1]->id, 30);
    check(run_until(&timeouts[1]->calls, 1), "the timeout was called");
}

static void s7(void)
{
    many();
    api->update_timeout(timeouts[1]->id, 10);
    drop(timeouts[1]);
    run_for(30);
}

static void s8(void)
{
    many();
    api->update_timeout(timeouts[1]->id, 300);
    start_runner();
    sleep_ms(20);
    drop(timeouts[1]);
    check(wait_until(&timeouts[1]->freed, 1), "the loop was woken to free");
    stop_runner();
    say("freed=%d", timeouts[1]->freed);
}

static void s9(void)
{
    many();
    timeouts[1]->then = drop_other;
    timeouts[1]->other = timeouts[2];
    api->update_timeout(timeouts[1]->id, 5);
    api->update_timeout(timeouts[2]->id, 6);
    sleep_ms(20);
    turn();
}

static void s10(void)
{
    many();
    timeouts[1]->then = drop_self;
    api->update_timeout(timeouts[1]->id, 5);
    sleep_ms(10);
    turns(2);
}

/* Scenarios 11 to 14 use the remaining entries. */
static void s11(void)
{
    int at;

    many();
    for (at = 0; at < MANY - 1; at++) {
        check(drop(handles[at]) == 0, "a handle was removed");
        check(drop(timeouts[at]) == 0, "a timeout was removed");
    }
    handles[MANY - 1]->then = timeouts[MANY - 1]->then = disable_self;
    for (at = 0; at < 4; at++) {
        feed(handles[MANY - 1]);
        turn();
        api->update_timeout(timeouts[MANY - 1]->id, 3);
        check(run_until(&timeouts[MANY - 1]->calls, at + 1), "the timeout was called");
    }
}

static void s15(void)
{
    many();
    handles[0] = on_fd("disabled", handles[1]->fd, 0);
    feed(handles[1]);
    turns(2);
}

const struct test scenarios[] = {
    SAME("S1", s1, "h1:1 |"),
    SAME("S2", s2, "|"),
    SAME("S3", s3, "freed=1"),
    SAME("S4", s4, "h1:1 |"),
    SAME("S5", s5, "h1:1 | |"),
    SAME("S6", s6, "t1"),
    SAME("S7", s7, ""),
    SAME("S8", s8, "freed=1"),
    SAME("S9", s9, "t1 |"),
    SAME("S10", s10, "t1 | |"),
    SAME("S11-S14", s11, "h30:1 | t30 h30:1 | t30 h30:1 | t30 h30:1 | t30"),
    SAME("S15", s15, "h1:1 | h1:1 |"),
    { 0 },
};
