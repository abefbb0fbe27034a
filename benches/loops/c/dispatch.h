/* W0: calls of handles that are always ready, among idle ones. The callback counts. */
static void dispatch(uint64_t ready, uint64_t all) {
    enum { TURNS_PER_CHECK = 8 };
    loop_create();
    add_idle(all - ready);
    struct handle *handles = allocate(ready, sizeof *handles);
    for (uint64_t number = 0; number < ready; number++)
        handle_add(&handles[number], descriptor(1), count_call, NULL);
    for (int turn = 0; turn < TURNS_PER_CHECK; turn++)
        loop_turn();
    uint64_t before = call_count;
    struct section section = section_begin();
    while (!section_is_over(&section))
        for (int turn = 0; turn < TURNS_PER_CHECK; turn++)
            loop_turn();
    section_print(&section, "cpu", call_count - before);
}
