/* SPDX-License-Identifier: MIT */
/* hm_alloc and hm_free of hostmalloc/mimalloc.h, over every kind of object: those it knows by their table, and those that
 * go the usual way. */
#include <hostmalloc/hostmalloc.h>
#include <hostmalloc/mimalloc.h>

#include "check.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef _Bool is_owned_fn(const void *block);
is_owned_fn mi_check_owned; /* by this thread's heap */

static const struct {
    const char *label, *spec;
    uint32_t flags;
    int is_plain; /* has the table that is compared with */
} objects[] = {
    {"thread-safe", "mimalloc", HM_MALLOC_THREADSAFE, 1},
    {"unsynchronised", "mimalloc", 0, 1},
    {"one thread", "mimalloc", HM_MALLOC_ONE_THREAD, 0},
    {"scoped", "mimalloc", HM_MALLOC_THREADSAFE | HM_MALLOC_SCOPED, 0},
    {"exact", "mimalloc", HM_MALLOC_EXACT, 0},
    {"debug", "debug+mimalloc", HM_MALLOC_THREADSAFE, 0},
    {"default", "default", HM_MALLOC_THREADSAFE, 0},
};

static hm_malloc *make(size_t i)
{
    hm_error err = {0};
    hm_host *host;
    hm_malloc *m;
    assert_int_equal(hm_host_open(objects[i].spec, &host, &err), HM_OK);
    assert_int_equal(
        hm_host_create_malloc(host, objects[i].label, objects[i].flags, &m, &err), HM_OK);
    hm_host_release(host);
    return m;
}

static void mimalloc_inline__every_object_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(objects); i++) {
        hm_malloc *m = make(i);
        CHECK_ROW(objects[i].label,
                  (m->vtbl == &hm_mimalloc_slots) == objects[i].is_plain);
        for (size_t size = 0; size < 100000; size = size * 2 + 1) {
            char *block = hm_alloc(m, size);
            CHECK_ROW(objects[i].label, block != NULL);
            CHECK_ROW(objects[i].label, (uintptr_t)block % 16 == 0);
            CHECK_ROW(objects[i].label, hm_size_of(m, block) >= size);
            memset(block, 1, size);
            CHECK_ROW(objects[i].label, (size % 2 ? hm_free_sized(m, block, size)
                                                  : hm_free(m, block)) == HM_OK);
        }
        CHECK_ROW(objects[i].label, hm_alloc(m, SIZE_MAX) == NULL);
        CHECK_ROW(objects[i].label, hm_free(m, NULL) == HM_OK);
        CHECK_ROW(objects[i].label, hm_free_sized(m, NULL, 8) == HM_OK);
        hm_malloc_release(m);
    }
}

static void mimalloc_inline__blocks_are_those_of_the_slots(void **state)
{
    (void)state;
    hm_malloc *m = make(0);
    void *block = hm_alloc(m, 40);
    assert_true(mi_check_owned(block));
    m->vtbl->free(m, block);
    block = m->vtbl->alloc(m, 40, HM_LEVEL_TASK);
    assert_true(mi_check_owned(block));
    assert_int_equal(hm_free(m, block), HM_OK);
    hm_malloc_release(m);
}

static void mimalloc_inline__a_closed_object_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(objects); i++) {
        hm_malloc *m = make(i);
        void *block = hm_alloc(m, 40);
        assert_non_null(block);
        hm_malloc_close(m);
        CHECK_ROW(objects[i].label, hm_alloc(m, 40) == NULL);
        CHECK_ROW(objects[i].label, hm_free(m, block) == HM_OK);
        hm_malloc_release(m);
    }
}

static void mimalloc_inline__a_debug_object_is_told_the_line(void **state)
{
    (void)state;
    hm_malloc *m = make(5);
    void *block = hm_alloc(m, 40);
    const uint32_t line = __LINE__ - 1;
    hm_block known;
    assert_int_equal(hm_describe(m, block, &known), HM_OK);
    assert_non_null(known.site);
    assert_int_equal(known.site->line, line);
    assert_int_equal(hm_free(m, block), HM_OK);
    assert_int_equal(hm_free(m, block), HM_E_FREED);
    hm_malloc_release(m);
}

static void mimalloc_inline__a_forked_child_allocates(void **state)
{
    (void)state;
    hm_malloc *m = make(0);
    void *before = hm_alloc(m, 64);
    const pid_t child = fork();
    if (child == 0) {
        void *block = hm_alloc(m, 64);
        const int fine =
            block && hm_free(m, block) == HM_OK && hm_free(m, before) == HM_OK;
        _exit(fine ? 0 : 1);
    }
    int status = -1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    assert_int_equal(status, 0);
    assert_int_equal(hm_free(m, before), HM_OK);
    hm_malloc_release(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mimalloc_inline__every_object_answers),
        cmocka_unit_test(mimalloc_inline__blocks_are_those_of_the_slots),
        cmocka_unit_test(mimalloc_inline__a_closed_object_refuses),
        cmocka_unit_test(mimalloc_inline__a_debug_object_is_told_the_line),
        cmocka_unit_test(mimalloc_inline__a_forked_child_allocates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
