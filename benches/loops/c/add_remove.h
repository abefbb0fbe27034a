/* W2: additions and removals of handles, beside 1,000 idle ones. */

enum { ADD_REMOVE_IDLE = 1000, ADD_REMOVE_CHANGED = 16 };

enum add_remove_kind { IN_TURNS, NEW_DESCRIPTORS, BACK_TO_BACK };

static struct handle changed_handles[ADD_REMOVE_CHANGED];
static int changed_descriptors[ADD_REMOVE_CHANGED];

static void add_remove_round(enum add_remove_kind kind) {
    for (int number = 0; number < ADD_REMOVE_CHANGED; number++) {
        if (kind == NEW_DESCRIPTORS)
            changed_descriptors[number] = descriptor(0);
        handle_add(&changed_handles[number], changed_descriptors[number], ignore_call, NULL);
        if (kind == BACK_TO_BACK)
            handle_remove(&changed_handles[number]);
    }
    ticks_turn();
    if (kind == BACK_TO_BACK)
        return;
    for (int number = 0; number < ADD_REMOVE_CHANGED; number++) {
        handle_remove(&changed_handles[number]);
        if (kind == NEW_DESCRIPTORS)
            close(changed_descriptors[number]);
    }
    ticks_turn();
}

static void add_remove(enum add_remove_kind kind) {
    loop_create();
    add_idle(ADD_REMOVE_IDLE);
    ticks_add();
    if (kind != NEW_DESCRIPTORS)
        for (int number = 0; number < ADD_REMOVE_CHANGED; number++)
            changed_descriptors[number] = descriptor(0);
    add_remove_round(kind);
    uint64_t changes = 0;
    struct section section = section_begin();
    while (!section_is_over(&section)) {
        add_remove_round(kind);
        changes += ADD_REMOVE_CHANGED;
    }
    section_print(&section, "cpu", changes);
}

static bool add_remove_is_over;

HANDLE_CALLBACK(end_add_remove, argument) {
    (void)argument;
    add_remove_is_over = true;
}

static void *add_remove_in_thread(void *unused) {
    int fd = descriptor(0);
    uint64_t changes = 0;
    struct section section = section_begin();
    while (!section_is_over(&section)) {
        for (int number = 0; number < ADD_REMOVE_CHANGED; number++) {
            handle_add(&changed_handles[0], fd, ignore_call, NULL);
            handle_remove(&changed_handles[0]);
        }
        changes += ADD_REMOVE_CHANGED;
    }
    section_print(&section, "cpu", changes);
    handle_add(&changed_handles[1], descriptor(1), end_add_remove, NULL);
    return unused;
}

/* Adds and removes a handle from another thread, while the loop waits. The figure is the CPU time of that thread. */
static void add_remove_thread(void) {
    pthread_t thread;
    loop_create();
    add_idle(ADD_REMOVE_IDLE);
    pthread_create(&thread, NULL, add_remove_in_thread, NULL);
    while (!add_remove_is_over)
        loop_turn();
    pthread_join(thread, NULL);
}
