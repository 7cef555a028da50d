/* SPDX-License-Identifier: MIT */
/* What the debug host answers to each misuse, on both kinds of malloc; and that the program goes on. */
#include "debug_fixture.h"

#include <sys/mman.h>

static char a_global[64];
static void *foreign; /* from before there was a debug host: at no address it ever had */

typedef hm_status misuse(debug_fixture *f, hm_malloc *other);

static hm_status free_twice(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    void *block = hm_alloc(f->m, 41);
    assert_int_equal(hm_free(f->m, block), HM_OK);
    return hm_free(f->m, block);
}

static hm_status free_a_b_a(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    void *a = hm_alloc(f->m, 41);
    void *b = hm_alloc(f->m, 41);
    assert_int_equal(hm_free(f->m, a), HM_OK);
    assert_int_equal(hm_free(f->m, b), HM_OK);
    return hm_free(f->m, a);
}

static hm_status free_large_twice(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    void *block = hm_alloc(f->m, 4000000);
    assert_int_equal(hm_free(f->m, block), HM_OK);
    return hm_free(f->m, block);
}

static hm_status free_inside(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    char *block = hm_alloc(f->m, 100);
    const hm_status seen = hm_free(f->m, block + 16);
    assert_int_equal(hm_free(f->m, block), HM_OK);
    return seen;
}

static hm_status free_inside_odd(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    char *block = hm_alloc(f->m, 100);
    const hm_status seen = hm_free(f->m, block + 1);
    assert_int_equal(hm_free(f->m, block), HM_OK);
    return seen;
}

static hm_status free_inside_large(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    char *block = hm_alloc(f->m, 40000000);
    const hm_status seen = hm_free(f->m, block + 30000000);
    assert_int_equal(hm_free(f->m, block), HM_OK);
    return seen;
}

static hm_status free_at_header(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    char *block = hm_alloc(f->m, 100);
    const hm_status seen = hm_free(f->m, block - 16);
    assert_int_equal(hm_free(f->m, block), HM_OK);
    return seen;
}

/* From one line on both mallocs, so that each knows the site. */
static void *alloc_here(hm_malloc *m)
{
    return hm_alloc(m, 100);
}

static hm_status free_others(debug_fixture *f, hm_malloc *other)
{
    assert_int_equal(hm_free(f->m, alloc_here(f->m)), HM_OK);
    void *block = alloc_here(other);
    const hm_status seen = hm_free(f->m, block);
    assert_int_equal(hm_owns(other, block), 1);
    assert_int_equal(hm_free(other, block), HM_OK);
    return seen;
}

static hm_status free_stack(debug_fixture *f, hm_malloc *other)
{
    char local[64];
    (void)other;
    return hm_free(f->m, (void *)(((uintptr_t)local + 15) & ~(uintptr_t)15));
}

static hm_status free_global(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    return hm_free(f->m, a_global);
}

static hm_status free_small_number(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    return hm_free(f->m, (void *)(uintptr_t)1);
}

static hm_status free_kernel_half(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    return hm_free(f->m, (void *)~(uintptr_t)15);
}

static hm_status free_unmapped(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    /* A fixed address would lie in what a sanitizer maps. */
    void *pages = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_int_equal(munmap(pages, 1 << 20), 0);
    return hm_free(f->m, (char *)pages + (1 << 19));
}

static hm_status free_foreign(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    return hm_free(f->m, foreign);
}

static hm_status free_wrong_size(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    void *block = hm_alloc(f->m, 41);
    const hm_status seen = hm_free_sized(f->m, block, 40);
    assert_int_equal(hm_free_sized(f->m, block, 41), HM_OK);
    return seen;
}

static hm_status free_wrong_alignment(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    void *block = hm_alloc_aligned(f->m, 41, 64);
    const hm_status seen = hm_free_at(f->m, block, 41, 128, HM_SITE);
    assert_int_equal(hm_free_at(f->m, block, 41, 64, HM_SITE), HM_OK);
    return seen;
}

static hm_status free_no_alignment(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    void *block = hm_alloc(f->m, 41);
    const hm_status seen = hm_free_at(f->m, block, 41, 24, HM_SITE);
    assert_int_equal(hm_free_at(f->m, block, 41, 8, HM_SITE), HM_OK);
    return seen;
}

static hm_status overrun_by(debug_fixture *f, size_t size, size_t count, int byte)
{
    char *block = hm_alloc(f->m, size);
    memset(block + size, byte, count);
    return hm_free(f->m, block);
}

static hm_status overrun_nul(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    return overrun_by(f, 41, 1, 0);
}

static hm_status overrun_seven(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    return overrun_by(f, 41, 1, 7);
}

static hm_status overrun_ff(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    return overrun_by(f, 41, 1, 0xFF);
}

static hm_status overrun_guard(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    return overrun_by(f, 41, 8, 'a');
}

static hm_status overrun_nothing(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    return overrun_by(f, 0, 1, 0);
}

static hm_status overrun_aligned(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    char *block = hm_alloc_aligned(f->m, 100, 4096);
    block[100] = 0;
    return hm_free(f->m, block);
}

static hm_status underrun_one(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    char *block = hm_alloc(f->m, 41);
    block[-1] = 0;
    return hm_free(f->m, block);
}

static hm_status underrun_header(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    char *block = hm_alloc(f->m, 41);
    memset(block - 16, 0, 16);
    return hm_free(f->m, block);
}

static hm_status underrun_ff(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    char *block = hm_alloc(f->m, 41);
    memset(block - 16, 0xFF, 16); /* looks like the header of a large block */
    return hm_free(f->m, block);
}

static hm_status size_field(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    char *block = hm_alloc(f->m, 41);
    memcpy(block - 16, "\0\0\0\x7f", 4); /* a guard 2 GiB away */
    return hm_free(f->m, block);
}

static hm_status stale_write(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    char *block = hm_alloc(f->m, 41);
    assert_int_equal(hm_free(f->m, block), HM_OK);
    block[40] = 7;
    hm_malloc_trim(f->m);
    return HM_OK;
}

static hm_status stale_overrun(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    char *block = hm_alloc(f->m, 41);
    assert_int_equal(hm_free(f->m, block), HM_OK);
    block[47] ^= 7;
    hm_malloc_trim(f->m);
    return HM_OK;
}

static hm_status realloc_freed(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    char *block = hm_alloc(f->m, 41);
    assert_int_equal(hm_free(f->m, block), HM_OK);
    assert_null(hm_realloc(f->m, block, 100));
    return HM_OK;
}

static hm_status realloc_wrong_size(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    char *block = hm_alloc(f->m, 41);
    assert_null(hm_realloc_at(f->m, block, 42, 100, HM_LEVEL_TASK, HM_SITE));
    return hm_free(f->m, block);
}

static hm_status realloc_others(debug_fixture *f, hm_malloc *other)
{
    assert_int_equal(hm_free(f->m, alloc_here(f->m)), HM_OK);
    char *block = alloc_here(other);
    assert_null(hm_realloc_at(f->m, block, 100, 200, HM_LEVEL_TASK, NULL));
    return hm_free(other, block);
}

static hm_status free_before_realloc(debug_fixture *f, hm_malloc *other)
{
    (void)other;
    char *old = hm_alloc(f->m, 41);
    char *block = hm_realloc(f->m, old, 100000);
    const hm_status seen = hm_free(f->m, old);
    assert_int_equal(hm_free(f->m, block), HM_OK);
    return seen;
}

static const struct {
    const char *label;
    misuse *misuse;
    hm_status want;
    const char *words; /* of the report */
} cases[] = {
    {"twice", free_twice, HM_E_FREED, "double free (HM_E_FREED)"},
    {"a, b, a", free_a_b_a, HM_E_FREED, "double free (HM_E_FREED)"},
    {"large, twice", free_large_twice, HM_E_FREED,
     "double free of a block given back already"},
    {"inside", free_inside, HM_E_NOT_OWNED, "16 bytes inside it"},
    {"inside, odd", free_inside_odd, HM_E_NOT_OWNED, "1 byte inside it"},
    {"inside, large", free_inside_large, HM_E_NOT_OWNED, "30000000 bytes inside it"},
    {"its header", free_at_header, HM_E_NOT_OWNED, "another allocator's memory"},
    {"another malloc's", free_others, HM_E_NOT_OWNED, "block of another malloc"},
    {"stack", free_stack, HM_E_NOT_OWNED, "on this thread's stack"},
    {"global", free_global, HM_E_NOT_OWNED, "static data or code"},
    {"small number", free_small_number, HM_E_NOT_OWNED, "just above NULL"},
    {"kernel half", free_kernel_half, HM_E_NOT_OWNED, "no program can own"},
    {"unmapped", free_unmapped, HM_E_NOT_OWNED, "where nothing is mapped"},
    {"libc's", free_foreign, HM_E_NOT_OWNED, "another allocator's memory"},
    {"size", free_wrong_size, HM_E_SIZE, "said to be   40 bytes"},
    {"alignment", free_wrong_alignment, HM_E_SIZE, "aligned to 128"},
    {"no alignment", free_no_alignment, HM_E_INVALID, "aligned to 24"},
    {"overrun by NUL", overrun_nul, HM_E_CORRUPT, "[00] .. .. .. .. .. .. .."},
    {"overrun by 7", overrun_seven, HM_E_CORRUPT, "[07] .. .. .. .. .. .. .."},
    {"overrun by ff", overrun_ff, HM_E_CORRUPT, "[ff] .. .. .. .. .. .. .."},
    {"overrun of the guard", overrun_guard, HM_E_CORRUPT, "past the end of a block"},
    {"overrun of nothing", overrun_nothing, HM_E_CORRUPT, "+0: | [00] .."},
    {"overrun, aligned", overrun_aligned, HM_E_CORRUPT, "[00] .. .. .. .. .. .. .."},
    {"underrun", underrun_one, HM_E_CORRUPT, "-3: .. .. [00] |"},
    {"header zeroed", underrun_header, HM_E_CORRUPT, "header of a block overwritten"},
    {"header of ff", underrun_ff, HM_E_CORRUPT, "header of a block overwritten"},
    {"size overwritten", size_field, HM_E_CORRUPT, "header of a block overwritten"},
    {"write after free", stale_write, HM_OK, "write after free (HM_E_CORRUPT)"},
    {"overrun after free", stale_overrun, HM_OK, "past the end of a freed block"},
    {"realloc of freed", realloc_freed, HM_OK, "realloc of a freed block (HM_E_FREED)"},
    {"realloc, old size", realloc_wrong_size, HM_OK, "realloc with the wrong old size"},
    {"realloc, another's", realloc_others, HM_OK, "realloc of a block of another"},
    {"old after realloc", free_before_realloc, HM_E_FREED, "double free"},
};

static void run_case(size_t i, const char *spec, uint32_t flags)
{
    debug_fixture f;
    hm_malloc *other;
    fixture_open(&f, spec, flags);
    assert_int_equal(hm_host_create_malloc(f.host, "other", 0, &other, NULL), HM_OK);
    CHECK_ROW(cases[i].label, cases[i].misuse(&f, other) == cases[i].want);
    CHECK_ROW(cases[i].label, fixture_findings(&f) == 1);
    if (!strstr(fixture_report(&f), cases[i].words)) {
        fail_msg("%s: no \"%s\" in:\n%s", cases[i].label, cases[i].words, f.text);
    }
    /* The program goes on. */
    void *blocks[100];
    for (size_t k = 0; k < COUNT(blocks); k++) {
        blocks[k] = hm_alloc(f.m, 41);
        CHECK_ROW(cases[i].label, blocks[k] != NULL);
    }
    for (size_t k = 0; k < COUNT(blocks); k++) {
        CHECK_ROW(cases[i].label, hm_free(f.m, blocks[k]) == HM_OK);
    }
    CHECK_ROW(cases[i].label, fixture_findings(&f) == 1);
    hm_malloc_release(other);
    fixture_close(&f);
    CHECK_ROW(cases[i].label, strstr(f.text, "SUMMARY: 1 error, ") != NULL);
}

static void debug__verdicts(void **state)
{
    static const struct {
        const char *spec;
        uint32_t flags;
    } kinds[] = {{"", 0},
                 {"", HM_MALLOC_THREADSAFE},
                 {"", HM_MALLOC_ONE_THREAD},
                 {",fill=all,quarantine=1000", HM_MALLOC_THREADSAFE}};
    (void)state;
    for (size_t kind = 0; kind < COUNT(kinds); kind++) {
        for (size_t i = 0; i < COUNT(cases); i++) {
            run_case(i, kinds[kind].spec, kinds[kind].flags);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(debug__verdicts),
    };
    foreign = malloc(100);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(foreign);
    return failed;
}
