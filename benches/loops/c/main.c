/*
 * The workloads on a loop with a C interface: PROGRAM WORKLOAD MILLISECONDS NUMBER...
 *
 * It is compiled once per peer, with the name of the peer's header in PEER_HEADER. It prints a line for each figure, its
 * name and the number; and nothing if the peer does not have the workload.
 */
#include "peer.h"

#include "dispatch.h"
#include "relay.h"
#include "add_remove.h"
#include "update.h"
#include "timers.h"
#include "wake.h"
#include "churn.h"
#include "memory.h"

static void raise_descriptor_limit(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int count, char **arguments) {
    if (count < 3)
        return 2;
    const char *workload = arguments[1];
    uint64_t numbers[3] = {0};
    for (int index = 3; index < count && index < 6; index++)
        numbers[index - 3] = strtoull(arguments[index], NULL, 10);
    duration = strtoull(arguments[2], NULL, 10) * 1000000;
    raise_descriptor_limit();
#define IS(name) (strcmp(workload, name) == 0)
    if (IS("dispatch"))
        dispatch(numbers[0], numbers[1]);
    else if (IS("relay"))
        relay(numbers[0], numbers[1], numbers[2] != 0);
    else if (IS("add-remove"))
        add_remove(IN_TURNS);
    else if (IS("add-remove-new"))
        add_remove(NEW_DESCRIPTORS);
    else if (IS("add-remove-back-to-back"))
        add_remove(BACK_TO_BACK);
    else if (IS("update"))
        update(false);
    else if (IS("update-back-to-back"))
        update(true);
    else if (IS("timers"))
        timers_change(numbers[0]);
    else if (IS("timers-push"))
        timers_push(numbers[0]);
    else if (IS("timers-expire"))
        timers_expire(numbers[0]);
    else if (IS("wake"))
        wake_latency(numbers[0]);
    else if (IS("memory-handles"))
        memory_handles(numbers[0]);
    else if (IS("memory-timers"))
        memory_timers(numbers[0]);
    else if (IS("add-remove-thread") && PEER_HAS_THREADS)
        add_remove_thread();
    else if (IS("churn") && PEER_HAS_THREADS)
        churn(numbers[0]);
    return 0;
}
