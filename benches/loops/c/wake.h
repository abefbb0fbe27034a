/* W5: the time from a request of another thread until the waiting loop makes the call. */

static atomic_uint_least64_t woken_at, wake_count;
static uint64_t requests;

static void record_wake(void) {
    atomic_store_explicit(&woken_at, now(), memory_order_relaxed);
    atomic_fetch_add_explicit(&wake_count, 1, memory_order_release);
}

static int compare_latencies(const void *one, const void *other) {
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

static void *request_wakes(void *unused) {
    uint64_t *latencies = allocate(requests, sizeof *latencies);
    for (uint64_t number = 0; number < requests; number++) {
        /* The loop begins to wait. */
        usleep(100);
        uint64_t requested = now();
        wake();
        while (atomic_load_explicit(&wake_count, memory_order_acquire) <= number)
            continue;
        latencies[number] = atomic_load_explicit(&woken_at, memory_order_relaxed) - requested;
    }
    qsort(latencies, requests, sizeof *latencies, compare_latencies);
    printf("latency %" PRIu64 "\n", latencies[requests / 2]);
    free(latencies);
    return unused;
}

static void wake_latency(uint64_t count) {
    pthread_t thread;
    requests = count;
    loop_create();
    wake_create(record_wake);
    pthread_create(&thread, NULL, request_wakes, NULL);
    while (atomic_load(&wake_count) < count)
        loop_turn();
    pthread_join(thread, NULL);
}
