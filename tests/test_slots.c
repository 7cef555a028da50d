/* SPDX-License-Identifier: MIT */
/* The ready-made slots over a malloc that has nothing but the five an implementer must write. */
#include <hostmalloc/hostmalloc.h>
#include <stdlib.h>
#include <string.h>

#include "toy_malloc.h"

static void slots__what_basics_do_not_know(void **state)
{
    (void)state;
    toy t;
    hm_malloc *m = &toy_make(&t)->base;
    void *found = &t;
    hm_block block;
    hm_stats stats;
    assert_int_equal(hm_owns(m, &t), -1);
    assert_int_equal(hm_describe(m, &t, &block), HM_E_UNSUPPORTED);
    assert_int_equal(hm_walk(m, NULL, NULL), HM_E_UNSUPPORTED);
    assert_int_equal(hm_malloc_stats(m, &stats), HM_E_UNSUPPORTED);
    assert_int_equal(hm_malloc_reset(m), HM_E_UNSUPPORTED);
    assert_int_equal(hm_malloc_find(m, "debug", &found), HM_E_NOT_FOUND);
    assert_null(found);
    assert_int_equal(hm_malloc_find(m, NULL, &found), HM_E_NOT_FOUND);
    assert_int_equal(hm_malloc_find(m, "debug", NULL), HM_E_INVALID);
    assert_int_equal(hm_good_size(m, 13), 13);
    hm_malloc_trim(m);
}

static void slots__the_debug_pair_is_the_plain_pair(void **state)
{
    (void)state;
    toy t;
    hm_malloc *m = &toy_make(&t)->base;
    void *p = t.table.debug_alloc(m, 10, HM_LEVEL_DOMAIN, HM_SITE);
    assert_non_null(p);
    assert_int_equal(t.level, HM_LEVEL_DOMAIN);
    assert_int_equal(t.table.debug_free(m, p, HM_SIZE_UNKNOWN, 0, NULL), HM_OK);
    assert_int_equal(t.table.debug_free(m, NULL, HM_SIZE_UNKNOWN, 0, NULL), HM_OK);
    p = hm_alloc(m, 10);
    assert_int_equal(hm_free_sized(m, p, 10), HM_OK);
    assert_int_equal(t.live, 0);
}

static void slots__realloc_moves_what_fits(void **state)
{
    static const struct {
        const char *label;
        size_t first, given, second;
        int refusing;
        int want; /* 1 a new block, 0 the old one, -1 NULL */
    } cases[] = {{"grow", 10, 10, 100, 0, 1},
                 {"grow, size unknown", 10, HM_SIZE_UNKNOWN, 100, 0, 1},
                 {"shrink", 100, 100, 10, 0, 1},
                 {"shrink, size unknown", 100, HM_SIZE_UNKNOWN, 10, 0, 1},
                 {"to nothing", 100, 100, 0, 0, 1},
                 {"from nothing", 0, 0, 50, 0, 1},
                 {"same", 64, 64, 64, 0, 1},
                 {"grow, refused", 10, 10, 100, 1, -1},
                 {"shrink, refused", 100, 100, 10, 1, 0},
                 {"shrink, unknown, refused", 100, HM_SIZE_UNKNOWN, 10, 1, 0},
                 {"same, refused", 64, 64, 64, 1, 0},
                 {"impossible", 10, 10, SIZE_MAX, 0, -1}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        toy t;
        hm_malloc *m = &toy_make(&t)->base;
        unsigned char *old = hm_alloc(m, cases[i].first);
        for (size_t k = 0; k < cases[i].first; k++) {
            old[k] = (unsigned char)k;
        }
        t.refusing = cases[i].refusing;
        errno = 4711;
        unsigned char *p = hm_realloc_at(m, old, cases[i].given, cases[i].second,
                                         HM_LEVEL_PROCESS, NULL);
        CHECK_ROW(cases[i].label, !p || errno == 4711);
        CHECK_ROW(cases[i].label, t.level == HM_LEVEL_PROCESS);
        CHECK_ROW(cases[i].label, t.asked == (cases[i].given == HM_SIZE_UNKNOWN));
        CHECK_ROW(cases[i].label, cases[i].want == (p == NULL ? -1 : p != old));
        const size_t kept =
            cases[i].first < cases[i].second ? cases[i].first : cases[i].second;
        unsigned char *now = p ? p : old;
        for (size_t k = 0; k < kept; k++) {
            CHECK_ROW(cases[i].label, now[k] == (unsigned char)k);
        }
        CHECK_ROW(cases[i].label, t.live == 1);
        hm_free(m, now);
        CHECK_ROW(cases[i].label, t.live == 0);
    }
}

static void slots__realloc_of_null_allocates(void **state)
{
    (void)state;
    toy t;
    hm_malloc *m = &toy_make(&t)->base;
    void *p = hm_realloc(m, NULL, 20);
    assert_non_null(p);
    assert_int_equal(hm_size_of(m, p), 20);
    hm_free(m, p);
    t.refusing = 1;
    assert_null(hm_realloc(m, NULL, 20));
    assert_null(hm_realloc(m, NULL, 0));
}

static void slots__zeroed_and_checked(void **state)
{
    static const struct {
        const char *label;
        size_t count, size;
        int want;
    } cases[] = {{"plain", 3, 7, 1},
                 {"no items", 0, 7, 1},
                 {"items of nothing", 3, 0, 1},
                 {"wraps to 0", SIZE_MAX / 2 + 1, 2, 0},
                 {"wraps to 8", SIZE_MAX / 8 + 2, 8, 0},
                 {"largest", SIZE_MAX, SIZE_MAX, 0},
                 {"no wrap, too large", SIZE_MAX, 1, 0}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        toy t;
        hm_malloc *m = &toy_make(&t)->base;
        unsigned char *p = hm_alloc_zeroed(m, cases[i].count, cases[i].size);
        CHECK_ROW(cases[i].label, (p != NULL) == cases[i].want);
        for (size_t k = 0; p && k < cases[i].count * cases[i].size; k++) {
            CHECK_ROW(cases[i].label, p[k] == 0);
        }
        hm_free(m, p);
        t.refusing = 1;
        CHECK_ROW(cases[i].label,
                  !hm_alloc_zeroed(m, cases[i].count, cases[i].size) && t.live == 0);
    }
}

static void slots__aligned_as_far_as_alloc_goes(void **state)
{
    static const struct {
        const char *label;
        size_t alignment;
        int want;
    } cases[] = {{"none", 0, 0},      {"one", 1, 1},   {"two", 2, 1},
                 {"three", 3, 0},     {"eight", 8, 1}, {"twelve", 12, 0},
                 {"sixteen", 16, 1},  {"more", 32, 0}, {"huge", (size_t)1 << 40, 0},
                 {"all", SIZE_MAX, 0}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        toy t;
        hm_malloc *m = &toy_make(&t)->base;
        void *p = hm_alloc_aligned(m, 24, cases[i].alignment);
        CHECK_ROW(cases[i].label, (p != NULL) == cases[i].want);
        hm_free(m, p);
        CHECK_ROW(cases[i].label, t.live == 0);
    }
}

static void slots__bad_requests_are_refused(void **state)
{
    static const struct {
        const char *label;
        size_t size, bytes, alignment;
        uint32_t flags;
        unsigned char tail;
        hm_status want;
    } cases[] = {
        {"good", sizeof(hm_request), 8, 0, 0, 0, HM_OK},
        {"zeroed", sizeof(hm_request), 8, 8, HM_REQUEST_ZEROED, 0, HM_OK},
        {"newer, nothing set", sizeof(hm_request) + 8, 8, 0, 0, 0, HM_OK},
        {"newer, set", sizeof(hm_request) + 8, 8, 0, 0, 1, HM_E_UNSUPPORTED},
        {"no size", 0, 8, 0, 0, 0, HM_E_INVALID},
        {"short", sizeof(hm_request) - 1, 8, 0, 0, 0, HM_E_INVALID},
        {"garbage size", SIZE_MAX, 8, 0, 0, 0, HM_E_INVALID},
        {"unknown flag", sizeof(hm_request), 8, 0, 2, 0, HM_E_INVALID},
        {"alignment 3", sizeof(hm_request), 8, 3, 0, 0, HM_E_INVALID},
        {"alignment 24", sizeof(hm_request), 8, 24, 0, 0, HM_E_INVALID},
        {"too large", sizeof(hm_request), SIZE_MAX, 0, 0, 0, HM_E_NOMEM},
        {"too aligned", sizeof(hm_request), 8, (size_t)1 << 40, 0, 0, HM_E_NOMEM}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        toy t;
        hm_malloc *m = &toy_make(&t)->base;
        union {
            hm_request request;
            unsigned char bytes[sizeof(hm_request) + 8];
        } given;
        memset(given.bytes, cases[i].tail, sizeof(given.bytes));
        given.request = (hm_request){.size = cases[i].size,
                                     .bytes = cases[i].bytes,
                                     .alignment = cases[i].alignment,
                                     .flags = cases[i].flags};
        void *out = &t;
        CHECK_ROW(cases[i].label,
                  hm_malloc_request(m, &given.request, &out) == cases[i].want);
        CHECK_ROW(cases[i].label, (out != NULL) == (cases[i].want == HM_OK));
        CHECK_ROW(cases[i].label, t.live == (size_t)(cases[i].want == HM_OK));
        hm_free(m, out);
    }
    toy t;
    hm_malloc *m = &toy_make(&t)->base;
    const hm_request request = {.size = sizeof(request), .bytes = 8};
    void *out = &t;
    assert_int_equal(hm_malloc_request(m, NULL, &out), HM_E_INVALID);
    assert_null(out);
    assert_int_equal(hm_malloc_request(m, &request, NULL), HM_E_INVALID);
    assert_int_equal(t.live, 0);
}

/* A toy that can align: over-allocates nothing, it just asks libc. Its blocks have no header, so sizes are given. */
static void *libc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    (void)level;
    (void)site;
    if (toy_of(self)->refusing) {
        return NULL;
    }
    char *raw =
        aligned_alloc(alignment, (alignment + size + alignment - 1) & ~(alignment - 1));
    assert_non_null(raw);
    memset(raw + alignment, 0xa5, size);
    toy_of(self)->live++;
    return raw + alignment;
}

#define ALIGNED_TO ((size_t)64)

static void libc_free_aligned(hm_malloc *self, void *block)
{
    if (block) {
        toy_of(self)->live--;
        (free)((char *)block - ALIGNED_TO);
    }
}

static void slots__requests_realloc_keep_and_zero(void **state)
{
    static const struct {
        const char *label;
        size_t old_bytes, bytes;
        uint32_t flags;
        int refusing;
        hm_status want;
    } cases[] = {{"aligned, grows", 40, 100, 0, 0, HM_OK},
                 {"aligned, grows zeroed", 40, 100, HM_REQUEST_ZEROED, 0, HM_OK},
                 {"aligned, shrinks", 100, 40, HM_REQUEST_ZEROED, 0, HM_OK},
                 {"aligned, grows, refused", 40, 100, HM_REQUEST_ZEROED, 1, HM_E_NOMEM},
                 {"aligned, shrinks, refused", 100, 40, 0, 1, HM_OK}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        toy t;
        hm_malloc *m = &toy_make(&t)->base;
        t.table.alloc_aligned = libc_aligned;
        t.table.free = libc_free_aligned;
        hm_request request = {.size = sizeof(request),
                              .bytes = cases[i].old_bytes,
                              .alignment = ALIGNED_TO,
                              .flags = HM_REQUEST_ZEROED};
        void *old;
        CHECK_ROW(cases[i].label, hm_malloc_request(m, &request, &old) == HM_OK);
        for (size_t k = 0; k < cases[i].old_bytes; k++) {
            CHECK_ROW(cases[i].label, ((unsigned char *)old)[k] == 0);
            ((unsigned char *)old)[k] = (unsigned char)(k + 1);
        }
        request.block = old;
        request.old_bytes = cases[i].old_bytes;
        request.bytes = cases[i].bytes;
        request.flags = cases[i].flags;
        t.refusing = cases[i].refusing;
        void *out;
        CHECK_ROW(cases[i].label, hm_malloc_request(m, &request, &out) == cases[i].want);
        CHECK_ROW(cases[i].label, (out != NULL) == (cases[i].want == HM_OK));
        const unsigned char *now = out ? out : old;
        for (size_t k = 0; k < cases[i].bytes && out; k++) {
            const unsigned char fresh = cases[i].flags ? 0 : 0xa5;
            CHECK_ROW(cases[i].label,
                      now[k] ==
                          (k < cases[i].old_bytes ? (unsigned char)(k + 1) : fresh));
        }
        CHECK_ROW(cases[i].label, (uintptr_t)now % ALIGNED_TO == 0 && t.live == 1);
        hm_free(m, out ? out : old);
    }
}

static void slots__requests_realloc_as_usual(void **state)
{
    (void)state;
    toy t;
    hm_malloc *m = &toy_make(&t)->base;
    unsigned char *old = hm_alloc(m, 10);
    memset(old, 7, 10);
    const hm_request request = {.size = sizeof(request),
                                .block = old,
                                .old_bytes = HM_SIZE_UNKNOWN,
                                .bytes = 30,
                                .flags = HM_REQUEST_ZEROED};
    void *out;
    assert_int_equal(hm_malloc_request(m, &request, &out), HM_OK);
    for (size_t k = 0; k < 30; k++) {
        assert_int_equal(((unsigned char *)out)[k], k < 10 ? 7 : 0);
    }
    const hm_request larger = {
        .size = sizeof(larger), .block = out, .old_bytes = 30, .bytes = 60};
    void *refused = &t;
    t.refusing = 1;
    assert_int_equal(hm_malloc_request(m, &larger, &refused), HM_E_NOMEM);
    assert_null(refused);
    hm_free(m, out);
    assert_int_equal(t.live, 0);
}

/* A checking toy: knows one block and answers verdicts. */
static const void *known_block;
static hm_site *known_site;
static hm_status next_verdict;
static int plain_calls;

static void *checking_alloc(hm_malloc *self, size_t size, hm_level level)
{
    plain_calls++;
    return toy_alloc(self, size, level);
}

static void *
checking_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    void *block = toy_alloc(self, size, level);
    known_site = site;
    return block;
}

static hm_status checking_debug_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    (void)size;
    (void)alignment;
    (void)site;
    const hm_status verdict = next_verdict;
    next_verdict = HM_OK;
    if (verdict == HM_OK || verdict == HM_E_CORRUPT) {
        toy_free(self, block);
    }
    return verdict;
}

static int checking_owns(hm_malloc *self, const void *block)
{
    (void)self;
    return block == known_block;
}

static uint32_t known_state;

static hm_status checking_describe(hm_malloc *self, const void *block, hm_block *out)
{
    (void)self;
    out->address = block;
    out->site = known_site;
    out->state = known_state;
    return HM_OK;
}

static toy *checking_make(toy *t)
{
    toy_make(t);
    t->table.alloc = checking_alloc;
    t->table.debug_alloc = checking_debug_alloc;
    t->table.debug_free = checking_debug_free;
    t->table.owns = checking_owns;
    t->table.describe = checking_describe;
    t->base.flags = HM_MALLOC_DEBUG;
    plain_calls = 0;
    known_state = HM_BLOCK_LIVE;
    return t;
}

static void slots__a_checking_object_is_used_through_its_debug_pair(void **state)
{
    (void)state;
    toy t;
    hm_malloc *m = &checking_make(&t)->base;
    hm_site *site = HM_SITE;
    void *p = hm_alloc_zeroed_at(m, 1, 8, HM_LEVEL_TASK, site);
    assert_ptr_equal(known_site, site);
    known_block = p;
    p = hm_realloc_at(m, p, 8, 16, HM_LEVEL_TASK, HM_SITE);
    assert_ptr_not_equal(known_site, site);
    known_block = p;
    const hm_site *born = known_site;
    p = hm_realloc_at(m, p, 16, 32, HM_LEVEL_TASK, NULL);
    assert_non_null(known_site);
    assert_string_equal(known_site->file, born->file);
    assert_int_equal(known_site->line, born->line);
    hm_free(m, p);
    hm_free(m, hm_alloc_aligned(m, 8, 8));
    assert_int_equal(plain_calls, 0);
    assert_int_equal(t.live, 0);
}

static void slots__a_suspicious_block_is_not_read(void **state)
{
    static const struct {
        const char *label;
        uint32_t state;
        hm_status want;
    } cases[] = {{"foreign", HM_BLOCK_LIVE, HM_E_NOT_OWNED},
                 {"freed", HM_BLOCK_FREED, HM_E_FREED}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        toy t;
        hm_malloc *m = &checking_make(&t)->base;
        void *nowhere = (void *)(uintptr_t)64;
        known_block = NULL;
        known_state = cases[i].state;
        CHECK_ROW(cases[i].label, !hm_realloc(m, nowhere, 10));
        CHECK_ROW(cases[i].label,
                  !hm_realloc_at(m, nowhere, 100, 10, HM_LEVEL_TASK, NULL));
        const hm_request request = {
            .size = sizeof(request), .block = nowhere, .old_bytes = 5, .bytes = 10};
        void *out = &t;
        CHECK_ROW(cases[i].label, hm_malloc_request(m, &request, &out) == cases[i].want);
        CHECK_ROW(cases[i].label, !out && t.live == 0);
    }
}

static void slots__a_realloc_whose_free_is_refused_did_nothing(void **state)
{
    static const struct {
        const char *label;
        hm_status verdict;
        int moved;
    } cases[] = {{"freed meanwhile", HM_E_FREED, 0},
                 {"wrong size", HM_E_SIZE, 0},
                 {"guard overwritten", HM_E_CORRUPT, 1}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        toy t;
        hm_malloc *m = &checking_make(&t)->base;
        char *p = hm_alloc(m, 8);
        memcpy(p, "1234567", 8);
        known_block = p;
        next_verdict = cases[i].verdict;
        char *moved = hm_realloc_at(m, p, 8, 100, HM_LEVEL_TASK, NULL);
        CHECK_ROW(cases[i].label, (moved != NULL) == cases[i].moved);
        CHECK_ROW(cases[i].label, t.live == 1);
        CHECK_ROW(cases[i].label, strcmp(moved ? moved : p, "1234567") == 0);
        hm_free(m, moved ? moved : p);
        CHECK_ROW(cases[i].label, t.live == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots__what_basics_do_not_know),
        cmocka_unit_test(slots__the_debug_pair_is_the_plain_pair),
        cmocka_unit_test(slots__realloc_moves_what_fits),
        cmocka_unit_test(slots__realloc_of_null_allocates),
        cmocka_unit_test(slots__zeroed_and_checked),
        cmocka_unit_test(slots__aligned_as_far_as_alloc_goes),
        cmocka_unit_test(slots__bad_requests_are_refused),
        cmocka_unit_test(slots__requests_realloc_keep_and_zero),
        cmocka_unit_test(slots__requests_realloc_as_usual),
        cmocka_unit_test(slots__a_checking_object_is_used_through_its_debug_pair),
        cmocka_unit_test(slots__a_suspicious_block_is_not_read),
        cmocka_unit_test(slots__a_realloc_whose_free_is_refused_did_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
