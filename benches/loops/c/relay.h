/* W1: tokens of one byte circulate in a ring of socket pairs. In a variant each event restarts an idle timer. */

struct station {
    int reader, next_writer, milliseconds;
    bool has_timer;
    struct handle handle;
    struct timer timer;
};

static uint64_t passed;

TIMER_CALLBACK(no_expiry, argument) {
    (void)argument;
    fail_called("timer");
}

HANDLE_CALLBACK(pass, argument) {
    struct station *station = argument;
    char bytes[64];
    if (station->has_timer)
        timer_restart(&station->timer, station->milliseconds);
    ssize_t length = read(station->reader, bytes, sizeof bytes);
    if (length <= 0)
        return;
    if (write(station->next_writer, bytes, (size_t)length) != length)
        fail("write");
    passed += (uint64_t)length;
}

static void relay(uint64_t tokens, uint64_t pairs, bool with_timers) {
    enum { WARM_UP = 100 };
    loop_create();
    struct station *stations = allocate(pairs, sizeof *stations);
    for (uint64_t number = 0; number < pairs; number++) {
        int pair[2];
        socket_pair(pair);
        stations[number].reader = pair[0];
        stations[number ? number - 1 : pairs - 1].next_writer = pair[1];
    }
    for (uint64_t number = 0; number < pairs; number++) {
        struct station *station = &stations[number];
        station->has_timer = with_timers;
        station->milliseconds = 3600000 + (int)random_below(1000000);
        if (with_timers)
            timer_add(&station->timer, station->milliseconds, no_expiry, NULL);
        handle_add(&station->handle, station->reader, pass, station);
    }
    for (uint64_t token = 0; token < tokens; token++)
        if (write(stations[token * pairs / tokens].next_writer, "t", 1) != 1)
            fail("write");
    for (int turn = 0; turn < WARM_UP && passed < tokens; turn++)
        loop_turn();
    uint64_t before = passed;
    struct section section = section_begin();
    while (!section_is_over(&section))
        loop_turn();
    section_print(&section, "cpu", passed - before);
}
