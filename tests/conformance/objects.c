/* SPDX-License-Identifier: MIT */
/* The life of a malloc object: creation and its refusals, references, limits, reset, close, scope. */
#include "conformance.h"

#include <errno.h>
#include <stdio.h>

/* A host that is always exact may say so. */
static void object__has_the_flags_it_was_granted(subject *s)
{
    assert_int_equal(s->m->flags & s->kind->flags, s->kind->flags);
    assert_int_equal(s->m->flags & ~(s->kind->flags | HM_MALLOC_DEBUG | HM_MALLOC_EXACT),
                     0);
    assert_int_equal(hm_malloc_validate(s->m, NULL), HM_OK);
}

static void object__of_bad_options_is_refused(subject *s)
{
    const hm_malloc_opts usual = {sizeof usual, "x", s->kind->flags, 0, 0};
    hm_malloc_opts unknown = usual, top = usual, debug = usual, torn = usual,
                   small = usual, reserved = usual;
    unknown.flags |= 0x20;
    top.flags |= 0x80000000u;
    debug.flags |= HM_MALLOC_DEBUG;
    torn.flags = HM_MALLOC_THREADSAFE | HM_MALLOC_ONE_THREAD;
    small.size = 4;
    reserved.reserved = 1;
    const struct {
        const char *label;
        const hm_malloc_opts *opts;
    } cases[] = {
        {"unknown flag", &unknown},      {"highest flag", &top},
        {"the host's own flag", &debug}, {"contradiction", &torn},
        {"short struct", &small},        {"reserved", &reserved},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm_malloc *out = s->m;
        hm_error err = {0};
        CHECK_ROW(cases[i].label, hm_host_create_malloc_opts(s->host, cases[i].opts, &out,
                                                             &err) == HM_E_INVALID);
        CHECK_ROW(cases[i].label, out == NULL);
        CHECK_ROW(cases[i].label, err.status == HM_E_INVALID && err.what[0]);
        out = s->m;
        CHECK_ROW(cases[i].label, hm_host_create_malloc_opts(s->host, cases[i].opts, &out,
                                                             NULL) == HM_E_INVALID);
        CHECK_ROW(cases[i].label, out == NULL);
    }
    assert_int_equal(hm_host_create_malloc(s->host, "x", s->kind->flags, NULL, NULL),
                     HM_E_INVALID);
}

static void object__is_held_by_its_references(subject *s)
{
    hm_malloc *m = sibling(s);
    void *block = hm_alloc(m, 40);
    assert_non_null(block);
    hm_malloc_retain(m);
    hm_malloc_retain(m);
    hm_malloc_release(m);
    hm_malloc_release(m);
    fill(block, 40, 6);
    assert_true(is_filled(block, 40, 6));
    assert_int_equal(hm_free(m, block), HM_OK);
    hm_malloc_release(m);
    hm_malloc_release(NULL);
}

static void object__holds_its_host(subject *s)
{
    hm_host *host = NULL;
    hm_malloc *m = NULL;
    assert_int_equal(hm_host_open(s->spec, &host, NULL), HM_OK);
    const hm_malloc_opts opts = {sizeof opts, NULL, s->kind->flags, 0, s->kind->limit};
    assert_int_equal(hm_host_create_malloc_opts(host, &opts, &m, NULL), HM_OK);
    hm_host_release(host);
    void *block = hm_alloc(m, 10);
    assert_non_null(block);
    assert_int_equal(hm_free(m, block), HM_OK);
    hm_malloc_release(m);
}

static void object__copies_its_name(subject *s)
{
    char name[] = "short lived";
    const hm_malloc_opts opts = {sizeof opts, name, s->kind->flags, 0, s->kind->limit};
    hm_malloc *m = NULL;
    assert_int_equal(hm_host_create_malloc_opts(s->host, &opts, &m, NULL), HM_OK);
    memset(name, '#', sizeof name - 1);
    void *block = hm_alloc(m, 10);
    assert_non_null(block);
    assert_int_equal(hm_free(m, block), HM_OK);
    hm_malloc_release(m);
}

static void release_it(void *context)
{
    hm_malloc_release(context);
}

static void object__may_be_released_by_another_thread(subject *s)
{
    for (int i = 0; i < 20; i++) {
        hm_malloc *m = sibling(s);
        for (int n = 0; n < 600; n++) {
            void *block = hm_alloc(m, 24);
            assert_non_null(block);
            assert_int_equal(hm_free(m, block), HM_OK);
        }
        on_another_thread(release_it, m);
    }
}

static void fill_and_release(subject *s, void (*release)(void (*)(void *), void *))
{
    for (int i = 0; i < 8; i++) {
        hm_malloc *m = sibling(s);
        for (size_t n = 0; n < 50; n++) {
            void *blocks[] = {hm_alloc(m, n * 100), hm_alloc_zeroed(m, n, 10),
                              hm_alloc_aligned(m, n, 128), hm_realloc(m, NULL, n)};
            for (size_t b = 0; b < COUNT(blocks); b++) {
                assert_non_null(blocks[b]);
            }
            assert_int_equal(hm_free(m, blocks[n % COUNT(blocks)]), HM_OK);
        }
        release(release_it, m);
    }
}

static void on_this_thread(void (*run)(void *), void *context)
{
    run(context);
}

/* What is not freed here is found by the address sanitizer's leak check, and by the growth of the process. */
static void scope__ends_with_its_blocks(subject *s)
{
    if (s->kind->flags & HM_MALLOC_SCOPED) {
        fill_and_release(s, on_this_thread);
        fill_and_release(s, on_another_thread);
    }
}

static long resident_pages(void)
{
    long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f) {
        if (fscanf(f, "%ld %ld", &size, &resident) != 2) {
            resident = 0;
        }
        fclose(f);
    }
    return resident;
}

static void scope__gives_memory_back(subject *s)
{
    if (!(s->kind->flags & HM_MALLOC_SCOPED)) {
        return;
    }
    const long before = resident_pages();
    for (int round = 0; round < (UNDER_SANITIZER ? 5 : 100); round++) {
        hm_malloc *m = sibling(s);
        for (int i = 0; i < 16; i++) {
            void *block = hm_alloc(m, 65536);
            assert_non_null(block);
            memset(block, 1, 65536);
        }
        hm_malloc_release(m);
    }
    /* 100 MiB were used; sanitizers hold back what little they saw. */
    assert_true(resident_pages() - before < (40L << 20) / 4096);
}

static void limit__is_of_live_requested_bytes(subject *s)
{
    hm_malloc *m = malloc_with(s, s->kind->flags, 1000);
    if (!m) {
        return;
    }
    void *a = hm_alloc(m, 600);
    assert_non_null(a);
    assert_null(hm_alloc(m, 401));
    assert_null(hm_alloc_zeroed(m, 1, 401));
    assert_null(hm_alloc_aligned(m, 401, 64));
    void *b = hm_alloc(m, 400);
    assert_non_null(b);
    assert_null(hm_alloc(m, 1));
    assert_null(hm_realloc(m, b, 401));
    fill(a, 600, 1);
    a = hm_realloc(m, a, 500); /* a shrink never fails, full or not */
    assert_non_null(a);
    assert_true(is_filled(a, 500, 1));
    b = hm_realloc(m, b, 500);
    assert_non_null(b);
    hm_stats st;
    assert_int_equal(hm_malloc_stats(m, &st), HM_OK);
    assert_int_equal(st.live_bytes, 1000);
    assert_int_equal(st.live_blocks, 2);
    assert_true(st.denied >= 5);
    assert_int_equal(hm_free(m, a), HM_OK);
    void *c = hm_alloc(m, 500);
    assert_non_null(c);
    assert_int_equal(hm_free(m, b), HM_OK);
    assert_int_equal(hm_free(m, c), HM_OK);
    assert_int_equal(hm_malloc_stats(m, &st), HM_OK);
    assert_int_equal(st.live_bytes, 0);
    hm_malloc_release(m);
}

static void reset__frees_all_or_nothing(subject *s)
{
    void *blocks[20];
    for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = hm_alloc(s->m, 10 + i);
        assert_non_null(blocks[i]);
        fill(blocks[i], 10 + i, (unsigned)i);
    }
    const hm_status status = hm_malloc_reset(s->m);
    if (status == HM_E_UNSUPPORTED) {
        assert_false(is_exact(s) || s->kind->flags & HM_MALLOC_SCOPED);
        for (size_t i = 0; i < COUNT(blocks); i++) {
            assert_true(is_filled(blocks[i], 10 + i, (unsigned)i));
            assert_int_equal(hm_free(s->m, blocks[i]), HM_OK);
        }
        return;
    }
    assert_int_equal(status, HM_OK);
    hm_stats st;
    if (hm_malloc_stats(s->m, &st) == HM_OK) {
        assert_int_equal(st.live_blocks, 0);
        assert_int_equal(st.live_bytes, 0);
    }
    for (size_t i = 0; i < COUNT(blocks); i++) {
        assert_true(hm_owns(s->m, blocks[i]) != 1);
    }
    void *block = hm_alloc(s->m, 10);
    assert_non_null(block);
    assert_int_equal(hm_free(s->m, block), HM_OK);
    assert_int_equal(hm_malloc_reset(s->m), HM_OK);
}

static void close__drains(subject *s)
{
    hm_malloc *m = sibling(s);
    void *a = hm_alloc(m, 100);
    void *b = hm_alloc(m, 100);
    fill(a, 100, 1);
    fill(b, 100, 2);
    hm_malloc_close(m);
    assert_null(hm_alloc(m, 1));
    assert_null((hm_alloc)(m, 1));
    assert_null(hm_alloc(m, 0));
    assert_null(hm_alloc_zeroed(m, 1, 1));
    assert_null(hm_alloc_aligned(m, 1, 1));
    assert_null(hm_realloc(m, NULL, 1));
    assert_null(hm_debug_alloc(m, 1, HM_LEVEL_PROCESS, "a.c", 1));
    assert_null(hm_strdup(m, "text"));
    const hm_request r = {.size = sizeof r, .bytes = 10};
    void *out = s;
    assert_int_equal(hm_malloc_request(m, &r, &out), HM_E_CLOSED);
    assert_null(out);
    assert_null(hm_realloc(m, a, 1000000));
    assert_true(is_filled(a, 100, 1));
    /* A shrink never fails, but a drained object that checks sizes cannot note the new one and keeps the block. */
    void *smaller = hm_realloc(m, a, 50);
    assert_true(smaller || is_checked(s));
    a = smaller ? smaller : a;
    assert_true(is_filled(a, 50, 1));
    assert_true(hm_size_of(m, b) >= 100);
    hm_malloc_close(m);
    assert_int_equal(hm_free(m, a), HM_OK);
    assert_true(is_filled(b, 100, 2));
    assert_int_equal(hm_free_sized(m, b, 100), HM_OK);
    hm_malloc_release(m);
}

static void close_it(void *context)
{
    hm_malloc_close(context);
}

static void close__by_another_thread_drains(subject *s)
{
    hm_malloc *m = sibling(s);
    void *block = hm_alloc(m, 100);
    on_another_thread(close_it, m);
    assert_null(hm_alloc(m, 1));
    assert_int_equal(hm_free(m, block), HM_OK);
    hm_malloc_release(m);
}

static void trim__keeps_the_blocks(subject *s)
{
    void *block = hm_alloc(s->m, 5000);
    void *freed = hm_alloc(s->m, 500000);
    fill(block, 5000, 8);
    assert_int_equal(hm_free(s->m, freed), HM_OK);
    hm_malloc_trim(s->m);
    assert_true(is_filled(block, 5000, 8));
    assert_int_equal(hm_free(s->m, block), HM_OK);
    hm_malloc_trim(s->m);
}

static void errno__is_left_as_found_by_what_frees(subject *s)
{
    hm_malloc *m = sibling(s);
    static const size_t sizes[] = {0, 10, 1000, 40000, 200000, 2000000, 40000000};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *blocks[] = {hm_alloc(m, sizes[i]), hm_alloc(m, sizes[i]),
                          hm_alloc(m, sizes[i]), hm_alloc(m, sizes[i])};
        errno = 4711;
        hm_free(m, blocks[0]);
        hm_free_sized(m, blocks[1], sizes[i]);
        hm_debug_free(m, blocks[2], "a.c", 1);
        blocks[3] = hm_realloc(m, blocks[3], 0);
        assert_int_equal(errno, 4711);
        hm_free(m, NULL);
        hm_free(m, blocks[3]);
        hm_malloc_trim(m);
        hm_malloc_reset(m);
        assert_int_equal(errno, 4711);
    }
    hm_malloc_close(m);
    hm_malloc_release(m);
    assert_int_equal(errno, 4711);
}

const test_case object_cases[] = {
    CASE(object__has_the_flags_it_was_granted),
    CASE(object__of_bad_options_is_refused),
    CASE(object__is_held_by_its_references),
    CASE(object__holds_its_host),
    CASE(object__copies_its_name),
    CASE(object__may_be_released_by_another_thread),
    CASE(scope__ends_with_its_blocks),
    CASE(scope__gives_memory_back),
    CASE(limit__is_of_live_requested_bytes),
    CASE(reset__frees_all_or_nothing),
    CASE(close__drains),
    CASE(close__by_another_thread_drains),
    CASE(trim__keeps_the_blocks),
    CASE(errno__is_left_as_found_by_what_frees),
};
const size_t object_case_count = COUNT(object_cases);
