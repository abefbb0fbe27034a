/*
 * The interface between the workloads and a peer.
 *
 * The header of a peer defines:
 *
 *     struct handle, struct timer      storage of the caller, which does not move while they are registered
 *     HANDLE_CALLBACK(name, argument)  head of a callback of a handle in the peer's own type
 *     TIMER_CALLBACK(name, argument)   head of a callback of a timer
 *     PEER_HAS_THREADS                 1 if other threads may add and remove handles
 *     loop_create()                    creates the loop
 *     loop_turn()                      waits until a handle is ready or a timer is due, and makes the calls
 *     handle_add(handle, fd, callback, argument)       readable
 *     handle_update(handle, writable)                  readable, and writable if it is set
 *     handle_remove(handle)
 *     timer_add(timer, milliseconds, callback, argument)   is called once
 *     timer_restart(timer, milliseconds)
 *     timer_remove(timer)
 *     wake_create(callback), wake()    a call on the loop's thread that other threads request
 */
#ifndef PEER_H
#define PEER_H

#include "measure.h"
#include PEER_HEADER

/* Number of counted calls. */
static uint64_t call_count;

HANDLE_CALLBACK(count_call, argument) {
    (void)argument;
    call_count++;
}

HANDLE_CALLBACK(no_call, argument) {
    (void)argument;
    fail_called("handle");
}

HANDLE_CALLBACK(ignore_call, argument) {
    (void)argument;
}

/* A handle that is always ready, so that no turn waits for other handles. */
static struct handle tick_handle;
static uint64_t tick_count;

HANDLE_CALLBACK(count_tick, argument) {
    (void)argument;
    tick_count++;
}

UNUSED static void ticks_add(void) {
    handle_add(&tick_handle, descriptor(1), count_tick, NULL);
}

/* Runs turns until the tick handle has been called. */
UNUSED static void ticks_turn(void) {
    uint64_t before = tick_count;
    while (tick_count == before)
        loop_turn();
}

/* Adds handles that are never ready. They stay registered. */
UNUSED static void add_idle(uint64_t count) {
    struct handle *handles = allocate(count, sizeof *handles);
    for (uint64_t number = 0; number < count; number++)
        handle_add(&handles[number], descriptor(0), no_call, NULL);
}

#endif
