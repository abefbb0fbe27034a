/* W6: threads add and remove handles, 32 at a time, while the loop calls 8 handles that are always ready. */

enum { CHURN_IDLE = 100, CHURN_READY = 8, CHURN_CHANGED = 32, CHURN_THREADS = 16 };

static atomic_bool churn_is_over;

static void *change_until_over(void *changes) {
    struct handle *handles = allocate(CHURN_CHANGED, sizeof *handles);
    int descriptors[CHURN_CHANGED];
    for (int number = 0; number < CHURN_CHANGED; number++)
        descriptors[number] = descriptor(0);
    while (!atomic_load_explicit(&churn_is_over, memory_order_relaxed)) {
        for (int number = 0; number < CHURN_CHANGED; number++)
            handle_add(&handles[number], descriptors[number], ignore_call, NULL);
        for (int number = 0; number < CHURN_CHANGED; number++)
            handle_remove(&handles[number]);
        *(uint64_t *)changes += CHURN_CHANGED;
    }
    return NULL;
}

static void churn(uint64_t count) {
    pthread_t threads[CHURN_THREADS];
    uint64_t changes[CHURN_THREADS] = {0};
    uint64_t all_changes = 0;
    static struct handle ready[CHURN_READY];
    if (count > CHURN_THREADS)
        count = CHURN_THREADS;
    loop_create();
    add_idle(CHURN_IDLE);
    for (int number = 0; number < CHURN_READY; number++)
        handle_add(&ready[number], descriptor(1), count_call, NULL);
    uint64_t start = now(), end = start + duration;
    for (uint64_t number = 0; number < count; number++)
        pthread_create(&threads[number], NULL, change_until_over, &changes[number]);
    while (now() < end)
        loop_turn();
    atomic_store(&churn_is_over, true);
    double seconds = (double)(now() - start) / 1e9;
    for (uint64_t number = 0; number < count; number++) {
        pthread_join(threads[number], NULL);
        all_changes += changes[number];
    }
    printf("changes %f\ncalls %f\n", (double)all_changes / seconds, (double)call_count / seconds);
}
