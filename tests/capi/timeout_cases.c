/* Timeouts: never early, missed periods, order; and the time of the free callback. */
#include "conformance.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

static void drop_self(struct entry *self) { drop(self); }
static void disable_self(struct entry *self) { api->update_timeout(self->id, -1); }

static void drop_other(struct entry *self)
{
    self->then = NULL;
    say("[%d]", drop(self->other));
}

static void l2(void)
{
    struct entry *it = timeout("it", 0);

    it->then = drop_self;
    run_until(&it->calls, 1);
    settle();
    say("calls=%d freed=%d", it->calls, it->freed);
}

/* Removed in its own callback, with no other entry. */
static void l2_timing(void)
{
    struct entry *it = timeout("it", 5);

    it->then = drop_self;
    while (it->calls == 0)
        api->run_once();
    say("same=%d", it->freed);
}

static void n(void)
{
    struct entry *busy = timeout("busy", 0), *it = timeout("it", -1), *handle = on_pipe("handle", R);

    drop(it);
    drop(handle);
    turns(200);
    say("busy=%s timeout-freed=%d handle-freed=%d", busy->calls >= 200 ? "served" : "starved", it->freed,
        handle->freed);
}

static void o(void)
{
    double begun = now_ms();
    struct entry *it = timeout("it", 20);

    run_for(210);
    say("again=%d not-more-often=%d", it->calls >= 2, it->calls <= (now_ms() - begun) / 20);
}

static void slow(struct entry *self)
{
    (void)self;
    sleep_ms(30);
}

static void o2(void)
{
    double begun = now_ms();
    struct entry *it = timeout("it", 10);

    it->then = slow;
    run_for(150);
    say("no-catching-up=%d", it->calls >= 2 && it->calls <= (now_ms() - begun) / 30);
}

static void o3(void)
{
    int at, early = 0;

    for (at = 0; at < 8; at++) {
        double begun = now_ms();
        struct entry *it = timeout("it", 25), *wake = timeout("wake", 15);

        wake->then = it->then = disable_self;
        check(run_until(&it->calls, 1), "the timeout was called");
        early += it->called_at - begun < 25;
        drop(it);
        drop(wake);
    }
    say("early=%d", early);
}

static void o4(void)
{
    struct entry *it = timeout("it", 0);

    turn();
    it->calls = 0;
    turns(10);
    say("calls=%d", it->calls);
}

static double restarted_at;
static int too_early;

static void judge(struct entry *self)
{
    too_early += now_ms() - restarted_at < self->value;
}

static void restart_other(struct entry *self)
{
    /* Records the time before the update, since a call in between follows the restart. */
    restarted_at = now_ms();
    api->update_timeout(self->other->id, self->other->value);
}

static void q(void)
{
    struct entry *it, *pulse;

    too_early = 0;
    restarted_at = now_ms();
    it = timeout("it", 100);
    pulse = timeout("pulse", 40);
    it->value = 100;
    it->then = judge;
    pulse->other = it;
    pulse->then = restart_other;
    run_for(250);
    say("pulses=%d too-early=%d", pulse->calls >= 1, too_early);
}

static void s(void)
{
    struct entry *first = on_pipe("h1:", R), *second;

    timeout("t", 0);
    second = on_pipe("h2:", R);
    feed(first);
    feed(second);
    logs_calls = 1;
    turn();
}

static volatile sig_atomic_t alarms;

enum { MOST_ALARMS = 100 };

static void on_alarm(int signal)
{
    (void)signal;
    if (++alarms >= MOST_ALARMS)
        alarm(0);
}

/* Signals are more frequent than the timeout: each must continue the remaining wait, not restart it. They end
 * after a second, so that a wait that restarts is a failure and not a hang. */
static void under_signals(int calls)
{
    struct sigaction action = { .sa_handler = on_alarm }, before;
    struct itimerval every = { { 0, 10000 }, { 0, 10000 } }, never = { 0 };
    double begun = now_ms();
    struct entry *it = timeout("it", 60);
    int failed = 0;

    alarms = 0;
    sigaction(SIGALRM, &action, &before);
    setitimer(ITIMER_REAL, &every, NULL);
    while (it->calls < calls && now_ms() - begun < 2000)
        failed += api->run_once() != 0;
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    say("early=%d interrupted=%d while-they-came=%d failed=%d", it->called_at - begun < 60 * calls, alarms > calls,
        it->calls == calls && alarms < MOST_ALARMS, failed);
}

static void x(void) { under_signals(3); }
static void x2(void) { under_signals(1); }

static void as(void)
{
    timeout("a30", 30);
    timeout("b10", 10);
    timeout("c20", 20);
    sleep_ms(45);
    logs_calls = 1;
    turn();
}

static void add_zero(struct entry *self)
{
    self->then = NULL;
    timeout("new", 0);
}

static void at(void)
{
    timeout("t", 0)->then = add_zero;
    logs_calls = 1;
    turns(2);
}

static void av(void)
{
    struct entry *first = timeout("a", 5);

    first->then = drop_other;
    first->other = timeout("b", 5);
    sleep_ms(15);
    logs_calls = 1;
    turn();
    logs_calls = 0;
    settle();
    say("freed=%d", first->other->freed);
}

static void ax(void)
{
    struct entry *negative = timeout("negative", -5), *longest = timeout("longest", 1000);
    struct entry *at_once = timeout("at-once", INT_MAX);

    api->update_timeout(longest->id, INT_MAX);
    say("%s calls=%d,%d,%d", load_of(40), negative->calls, longest->calls, at_once->calls);
    api->update_timeout(at_once->id, 0);
    check(run_until(&at_once->calls, 1), "INT_MAX can be shortened");
}

static void lengthen(struct entry *self)
{
    if (self->calls == 0) {
        restarted_at = now_ms();
        api->update_timeout(self->id, 60);
    }
}

static void ay(void)
{
    struct entry *it = timeout("it", 10);

    it->then = lengthen;
    check(run_until(&it->calls, 2), "the timeout was called twice");
    say("early=%d", it->called_at - restarted_at < 60);
}

static void lengthen_other(struct entry *self)
{
    self->then = NULL;
    api->update_timeout(self->other->id, self->value);
}

/* A due timeout is updated by one that is called before it: EV-607, EV-609. */
static void update_due(void)
{
    struct entry *first = timeout("a", 5), *second = timeout("b", 5);

    first->then = lengthen_other;
    first->other = second;
    first->value = 10000;
    sleep_ms(15);
    logs_calls = 1;
    turn();
    logs_calls = 0;
    first->then = lengthen_other;
    first->value = -1;
    api->update_timeout(second->id, 5);
    sleep_ms(15);
    logs_calls = 1;
    turn();
}

static void on_and_off(void)
{
    struct entry *it = timeout("it", -1);

    logs_calls = 1;
    turn();
    api->update_timeout(it->id, 0);
    turn();
    api->update_timeout(it->id, -1);
    turn();
    api->update_timeout(it->id, 0);
    turn();
    {
        int first = drop(it), second = drop(it);
        say("%d %d", first, second);
    }
    api->update_timeout(it->id, 0);
    turn();
}

const struct test timeout_cases[] = {
    SAME("L2", l2, "calls=1 freed=1"),
    DIFFERS("L2-timing", l2_timing, "same=1", "EV-707", "same=0"),
    DIFFERS("N", n, "busy=served timeout-freed=1 handle-freed=1", "EV-707",
            "busy=served timeout-freed=0 handle-freed=1"),
    SAME("O", o, "again=1 not-more-often=1"),
    SAME("O2", o2, "no-catching-up=1"),
    SAME("O3", o3, "early=0"),
    SAME("O4", o4, "calls=10"),
    SAME("Q", q, "pulses=1 too-early=0"),
    DIFFERS("S", s, "t h1:1 h2:1 |", "EV-502", "h1:1 t h2:1 |"),
    SAME("X", x, "early=0 interrupted=1 while-they-came=1 failed=0"),
    SAME("X2", x2, "early=0 interrupted=1 while-they-came=1 failed=0"),
    DIFFERS("AS", as, "b10 c20 a30 |", "EV-504", "a30 b10 c20 |"),
    SAME("AT", at, "t | t new |"),
    SAME("AV", av, "a [0] | freed=1"),
    SAME("AX", ax, "quiet calls=0,0,0"),
    SAME("AY", ay, "early=0"),
    SAME("update-due", update_due, "a | a |"),
    SAME("on-off", on_and_off, "| it | | it | 0 -1 |"),
    { 0 },
};
