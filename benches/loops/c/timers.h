/* W4: additions, updates, removals and calls of many timers. Every section does one operation per timer. */

enum { HOUR = 3600000, EXPIRES_WITHIN = 100 };

static struct timer *timers;
static uint64_t expired;

TIMER_CALLBACK(count_expiry, argument) {
    (void)argument;
    expired++;
}

/* Creates the loop, and returns the numbers of the timers in random order. */
static uint32_t *timers_start(uint64_t count) {
    uint32_t *order = allocate(count, sizeof *order);
    for (uint64_t number = 0; number < count; number++)
        order[number] = (uint32_t)number;
    for (uint64_t last = count - 1; last > 0; last--) {
        uint64_t other = random_below(last + 1);
        uint32_t swapped = order[last];
        order[last] = order[other];
        order[other] = swapped;
    }
    timers = allocate(count, sizeof *timers);
    loop_create();
    ticks_add();
    ticks_turn();
    return order;
}

static int one_to_two_hours(void) {
    return HOUR + (int)random_below(HOUR);
}

static void timers_change(uint64_t count) {
    uint32_t *order = timers_start(count);
    struct section section = section_begin();
    for (uint64_t number = 0; number < count; number++)
        timer_add(&timers[number], one_to_two_hours(), no_expiry, NULL);
    section_print(&section, "add", count);
    ticks_turn();
    section = section_begin();
    for (uint64_t number = 0; number < count; number++)
        timer_restart(&timers[order[number]], one_to_two_hours());
    section_print(&section, "update", count);
    ticks_turn();
    section = section_begin();
    for (uint64_t number = 0; number < count; number++)
        timer_remove(&timers[order[number]]);
    section_print(&section, "remove", count);
}

static void timers_push(uint64_t count) {
    uint32_t *order = timers_start(count);
    for (uint64_t number = 0; number < count; number++)
        timer_add(&timers[number], HOUR, no_expiry, NULL);
    ticks_turn();
    struct section section = section_begin();
    for (uint64_t number = 0; number < count; number++)
        timer_restart(&timers[order[number]], HOUR);
    section_print(&section, "push", count);
}

static void timers_expire(uint64_t count) {
    timers_start(count);
    for (uint64_t number = 0; number < count; number++)
        timer_add(&timers[number], 1 + (int)random_below(EXPIRES_WITHIN), count_expiry, NULL);
    usleep((EXPIRES_WITHIN + 20) * 1000);
    struct section section = section_begin();
    while (expired < count)
        loop_turn();
    section_print(&section, "expire", count);
}
