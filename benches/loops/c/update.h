/* W3: changes of the interest of 16 handles, beside 1,000 idle ones: to readable and writable, and back. */

enum { UPDATE_IDLE = 1000, UPDATE_CHANGED = 16 };

static struct handle updated_handles[UPDATE_CHANGED];

static void update_round(bool is_back_to_back) {
    for (int number = 0; number < UPDATE_CHANGED; number++) {
        handle_update(&updated_handles[number], true);
        if (is_back_to_back)
            handle_update(&updated_handles[number], false);
    }
    ticks_turn();
    if (is_back_to_back)
        return;
    for (int number = 0; number < UPDATE_CHANGED; number++)
        handle_update(&updated_handles[number], false);
    ticks_turn();
}

static void update(bool is_back_to_back) {
    loop_create();
    add_idle(UPDATE_IDLE);
    ticks_add();
    for (int number = 0; number < UPDATE_CHANGED; number++) {
        int pair[2];
        socket_pair(pair);
        handle_add(&updated_handles[number], pair[0], count_call, NULL);
    }
    update_round(is_back_to_back);
    uint64_t changes = 0;
    struct section section = section_begin();
    while (!section_is_over(&section)) {
        update_round(is_back_to_back);
        changes += 2 * UPDATE_CHANGED;
    }
    section_print(&section, "cpu", changes);
}
