/* W7: resident memory per idle handle and per timer, with the caller's storage, without the memory of the kernel. */

static void memory_handles(uint64_t count) {
    loop_create();
    ticks_add();
    int *descriptors = allocate(count, sizeof *descriptors);
    for (uint64_t number = 0; number < count; number++)
        descriptors[number] = descriptor(0);
    ticks_turn();
    uint64_t before = resident();
    struct handle *handles = allocate(count, sizeof *handles);
    for (uint64_t number = 0; number < count; number++)
        handle_add(&handles[number], descriptors[number], no_call, NULL);
    ticks_turn();
    ticks_turn();
    printf("bytes %f\n", (double)(resident() - before) / (double)count);
}

static void memory_timers(uint64_t count) {
    loop_create();
    ticks_add();
    ticks_turn();
    uint64_t before = resident();
    struct timer *all = allocate(count, sizeof *all);
    for (uint64_t number = 0; number < count; number++)
        timer_add(&all[number], one_to_two_hours(), no_expiry, NULL);
    ticks_turn();
    printf("bytes %f\n", (double)(resident() - before) / (double)count);
}
