/* SPDX-License-Identifier: MIT */
/* A malloc object: creation and its refusals, references, limits, what is left of it. */
#include "conformance.h"

#include "memory_internal.h"

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

/* Made, used and released a thousand times, objects take no more memory than a few. */
static void object__leaves_nothing_behind(subject *s)
{
    const int rounds = UNDER_SANITIZER ? 10 : 1000;
    const int one_thread = (s->kind->flags & HM_MALLOC_ONE_THREAD) != 0;
    long before = 0;
    size_t private_before = 0;
    for (int round = 0; round < rounds; round++) {
        hm_malloc *m = malloc_with(s, s->kind->flags, s->kind->limit);
        for (unsigned i = 0; i < (one_thread ? 400 : 10); i++) {
            void *block = hm_alloc(m, i * 10);
            assert_non_null(block);
            memset(block, 1, i * 10);
            assert_int_equal(hm_free(m, block), HM_OK);
        }
        hm_malloc_release(m);
        if (round == rounds / 10) {
            before = resident_pages();
            private_before = hm__memory_in_use();
        }
    }
    assert_true(resident_pages() - before < (8L << 20) / 4096);
    /* A checking host may keep the last of them, to tell of frees that come too late. */
    assert_true(hm__memory_in_use() <= private_before + (is_checked(s) ? 4 << 20 : 4096));
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

const test_case object_cases[] = {
    CASE(object__has_the_flags_it_was_granted),
    CASE(object__of_bad_options_is_refused),
    CASE(object__is_held_by_its_references),
    CASE(object__holds_its_host),
    CASE(object__copies_its_name),
    CASE(object__may_be_released_by_another_thread),
    CASE(object__leaves_nothing_behind),
    CASE(limit__is_of_live_requested_bytes),
};
const size_t object_case_count = COUNT(object_cases);
