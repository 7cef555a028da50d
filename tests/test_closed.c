/* SPDX-License-Identifier: MIT */
/* Drained objects: the table made for them, and the ready-made close. */
#include <hostmalloc/hostmalloc.h>
#include <pthread.h>
#include <string.h>

#include "toy_malloc.h"

static void check_drained(toy *t, void *p)
{
    hm_malloc *m = &t->base;
    const hm_request request = {.size = sizeof(request), .bytes = 8};
    void *out = t;
    assert_int_equal(hm_malloc_validate(m, NULL), HM_OK);
    assert_null(hm_alloc(m, 1));
    assert_null((hm_alloc)(m, 0));
    assert_null(m->vtbl->debug_alloc(m, 1, HM_LEVEL_PROCESS, NULL));
    assert_null(hm_alloc_zeroed(m, 1, 1));
    assert_null(hm_alloc_aligned(m, 1, 8));
    assert_null(hm_realloc(m, NULL, 1));
    assert_null(hm_realloc(m, p, 1000));
    assert_ptr_equal(hm_realloc(m, p, 10), p);
    assert_ptr_equal(hm_realloc_at(m, p, 100, 99, HM_LEVEL_TASK, NULL), p);
    assert_int_equal(hm_malloc_request(m, &request, &out), HM_E_CLOSED);
    assert_null(out);
    assert_int_equal(hm_malloc_request(m, &request, NULL), HM_E_INVALID);
    assert_int_equal(hm_size_of(m, p), 100);
    assert_int_equal(t->live, 1);
    assert_int_equal(hm_free(m, p), HM_OK);
    assert_int_equal(t->live, 0);
}

static void another_free(hm_malloc *self, void *block)
{
    toy_free(self, block);
}

static void closed__an_object_is_drained(void **state)
{
    (void)state;
    toy t;
    hm_malloc *m = &toy_make(&t)->base;
    void *p = hm_alloc(m, 100);
    hm_malloc_close(m);
    const hm_malloc_vtbl *closed = m->vtbl;
    assert_ptr_not_equal(closed, &t.table);
    hm_malloc_close(m);
    assert_ptr_equal(m->vtbl, closed);
    check_drained(&t, p);

    toy other;
    hm_malloc_close(&toy_make(&other)->base);
    assert_ptr_equal(other.base.vtbl, closed); /* one table for all of a kind */
    toy unlike;
    toy_make(&unlike)->table.free = another_free;
    hm_malloc_close(&unlike.base);
    assert_ptr_not_equal(unlike.base.vtbl, closed);
}

static void closed__a_table_made_beforehand_drains_too(void **state)
{
    (void)state;
    toy t;
    hm_malloc *m = &toy_make(&t)->base;
    void *p = hm_alloc(m, 100);
    hm_malloc_vtbl closed;
    hm__malloc_closed(&t.table, &closed);
    m->vtbl = &closed;
    check_drained(&t, p);
}

static void closed__a_shrink_is_refused_where_sizes_are_checked(void **state)
{
    (void)state;
    toy t;
    hm_malloc *m = &toy_make(&t)->base;
    void *p = hm_alloc(m, 100);
    hm_malloc_vtbl closed;
    hm__malloc_closed(&t.table, &closed);
    m->vtbl = &closed;
    m->flags = HM_MALLOC_DEBUG;
    assert_null(hm_realloc(m, p, 10));
    assert_null(hm_realloc_at(m, p, 100, 100, HM_LEVEL_TASK, NULL));
    assert_int_equal(hm_free(m, p), HM_OK);
    assert_int_equal(t.live, 0);
}

/* An object that records one block: its own realloc is what shrinks, also when it is drained. */
static const void *recorded;
static size_t recorded_bytes;
static size_t own_calls;

static hm_status recorded_describe(hm_malloc *self, const void *block, hm_block *out)
{
    (void)self;
    out->requested = recorded_bytes;
    return block == recorded ? HM_OK : HM_E_NOT_OWNED;
}

static void *recorded_realloc(hm_malloc *self,
                              void *block,
                              size_t old_size,
                              size_t size,
                              hm_level level,
                              hm_site *site)
{
    (void)self;
    (void)old_size;
    (void)level;
    (void)site;
    own_calls++;
    if (block != recorded) {
        return NULL;
    }
    recorded_bytes = size;
    return block;
}

static void closed__the_objects_own_realloc_shrinks(void **state)
{
    (void)state;
    toy t;
    hm_malloc *m = &toy_make(&t)->base;
    t.table.describe = recorded_describe;
    t.table.realloc = recorded_realloc;
    m->flags = HM_MALLOC_DEBUG;
    void *p = hm_alloc(m, 100);
    recorded = p;
    recorded_bytes = 90; /* less than usable, and that is what counts */
    hm_malloc_close(m);
    hm__malloc_close(m); /* a host's own close may call it again */
    assert_null(hm_realloc(m, p, 91));
    assert_null(hm_realloc_at(m, p, 90, 91, HM_LEVEL_TASK, NULL));
    assert_null(hm_realloc(m, NULL, 0));
    assert_int_equal(own_calls, 0);
    assert_ptr_equal(hm_realloc(m, p, 80), p);
    assert_int_equal(recorded_bytes, 80);
    assert_ptr_equal(hm_realloc_at(m, p, 80, 0, HM_LEVEL_TASK, NULL), p);
    assert_int_equal(recorded_bytes, 0);
    assert_int_equal(own_calls, 2);
    assert_null(hm_realloc(m, &t, 1000000)); /* not known: its own realloc judges */
    assert_int_equal(own_calls, 3);

    toy plain; /* the same table but for realloc is another kind */
    toy_make(&plain)->table.describe = recorded_describe;
    hm_malloc_close(&plain.base);
    assert_ptr_not_equal(plain.base.vtbl, m->vtbl);
    hm_free(m, p);
    assert_int_equal(t.live, 0);
}

static void closed__a_newer_table_is_cut_to_what_is_known(void **state)
{
    (void)state;
    struct {
        hm_malloc_vtbl known;
        void *added;
    } live, closed;
    toy t;
    live.known = toy_make(&t)->table;
    live.known.size = sizeof(live);
    closed.added = &t;
    hm__malloc_closed(&live.known, &closed.known);
    assert_int_equal(closed.known.size, sizeof(hm_malloc_vtbl));
    assert_ptr_equal(closed.added, &t);
}

static void *allocate_until_closed(void *context)
{
    toy *t = context;
    size_t got = 0;
    for (void *p; (p = hm_alloc(&t->base, 16)); got++) {
        hm_free(&t->base, p);
    }
    return NULL;
}

static void quiet_retain(hm_malloc *self)
{
    (void)self;
}

static void closed__closing_stops_threads_that_allocate(void **state)
{
    (void)state;
    toy t;
    hm_malloc *m = &toy_make(&t)->base;
    t.table.retain = quiet_retain; /* so that the table is made while they run */
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, allocate_until_closed, &t), 0);
    }
    hm_malloc_close(m);
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(t.live, 0);
}

/* The last case: it uses up the room for the rest of the process. */
static void closed__more_kinds_than_there_is_room_for_stay_open(void **state)
{
    (void)state;
    toy known;
    hm_malloc_close(&toy_make(&known)->base);
    toy t;
    hm_malloc *m = &toy_make(&t)->base;
    void (*trim)(hm_malloc *) = t.table.trim;
    size_t kinds = 0;
    do {
        kinds++;
        m->vtbl = &t.table;
        const uintptr_t never_called = kinds;
        memcpy(&t.table.trim, &never_called, sizeof(never_called));
        hm_malloc_close(m);
    } while (m->vtbl != &t.table);
    assert_in_range(kinds, 32, 65);
    hm_free(m, hm_alloc(m, 1));
    assert_int_equal(t.live, 0);
    t.table.trim = trim;
    hm_malloc_close(m);
    assert_ptr_equal(m->vtbl, known.base.vtbl);
    assert_null(hm_alloc(m, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closed__an_object_is_drained),
        cmocka_unit_test(closed__a_table_made_beforehand_drains_too),
        cmocka_unit_test(closed__a_shrink_is_refused_where_sizes_are_checked),
        cmocka_unit_test(closed__the_objects_own_realloc_shrinks),
        cmocka_unit_test(closed__a_newer_table_is_cut_to_what_is_known),
        cmocka_unit_test(closed__closing_stops_threads_that_allocate),
        cmocka_unit_test(closed__more_kinds_than_there_is_room_for_stay_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
