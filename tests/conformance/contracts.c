/* SPDX-License-Identifier: MIT */
/* The cases of the modelled system that speak of IHostMalloc, on the C interface and under their numbers:
   S_OK is HM_OK, E_OUTOFMEMORY a NULL, HOST_E_INVALIDOPERATION a verdict of the debug pair. */
#include "conformance.h"

#include <stdio.h>

static void contracts_102__alloc_at_any_level(subject *s)
{
    static const hm_level levels[] = {HM_LEVEL_CURRENT, HM_LEVEL_TASK, HM_LEVEL_DOMAIN,
                                      HM_LEVEL_PROCESS};
    for (size_t i = 0; i < COUNT(levels); i++) {
        void *block = hm_alloc_at(s->m, 100, levels[i], NULL);
        assert_non_null(block);
        assert_true(is_aligned(block, 16));
        assert_int_equal(hm_free(s->m, block), HM_OK);
    }
}

static void contracts_103__alloc_zero_bytes(subject *s)
{
    void *block = hm_alloc_at(s->m, 0, HM_LEVEL_TASK, NULL);
    assert_non_null(block);
    assert_int_equal(hm_free(s->m, block), HM_OK);
}

static void contracts_104__alloc_beyond_the_budget(subject *s)
{
    hm_malloc *m = malloc_with(s, s->kind->flags, 4096);
    if (!m) {
        return;
    }
    assert_null(hm_alloc(m, 4097));
    void *block = hm_alloc(m, 4096);
    assert_non_null(block);
    assert_null(hm_alloc(m, 1));
    assert_int_equal(hm_free(m, block), HM_OK);
    hm_malloc_release(m);
}

static void contracts_105__free_null(subject *s)
{
    assert_int_equal(hm_free(s->m, NULL), HM_OK);
}

static void contracts_106__free_twice(subject *s)
{
    void *block = hm_alloc(s->m, 100);
    assert_int_equal(hm_free(s->m, block), HM_OK);
    if (is_checked(s)) { /* others trust the caller: twice would be undefined */
        assert_int_equal(hm_free(s->m, block), HM_E_FREED);
        assert_int_equal(hm_free(s->m, block), HM_E_FREED);
        void *next = hm_alloc(s->m, 100);
        assert_non_null(next);
        assert_int_equal(hm_free(s->m, next), HM_OK);
    }
}

static int is_refusal(hm_status status)
{
    return status == HM_E_NOT_OWNED || status == HM_E_FREED;
}

static void contracts_107__free_what_is_not_ours(subject *s)
{
    if (!is_checked(s)) {
        return; /* trusts the caller: a foreign pointer would be undefined */
    }
    char on_stack[64] = {0};
    static char somewhere[64];
    hm_malloc *other = sibling(s);
    unsigned char *block = hm_alloc(s->m, 100);
    void *others = hm_alloc(other, 100);
    fill(block, 100, 1);
    fill(others, 100, 2);
    void *const foreign[] = {on_stack + 16,
                             on_stack,
                             somewhere + 32,
                             block + 8,
                             block + 16,
                             block + 99,
                             others,
                             (void *)(uintptr_t)64,
                             (void *)(UINTPTR_MAX - 15)};
    for (size_t i = 0; i < COUNT(foreign); i++) {
        /* Inside a block another one may have started that was freed: that is known, too. */
        assert_true(is_refusal(hm_free(s->m, foreign[i])));
        assert_true(is_refusal(hm_free_sized(s->m, foreign[i], 100)));
        assert_null(hm_realloc(s->m, foreign[i], 200));
    }
    assert_true(is_filled(block, 100, 1));
    assert_true(is_filled(others, 100, 2));
    assert_true(is_zero(on_stack, sizeof on_stack));
    assert_int_equal(hm_owns(s->m, block), 1);
    assert_int_equal(hm_owns(other, others), 1);
    assert_int_equal(hm_free(s->m, block), HM_OK);
    assert_int_equal(hm_free(other, others), HM_OK);
    hm_malloc_release(other);
}

static void contracts_108__debug_alloc_names_its_place(subject *s)
{
    char file[] = "a.c";
    void *block = hm_debug_alloc(s->m, 64, HM_LEVEL_TASK, file, 42);
    assert_non_null(block);
    file[0] = '#';
    if (is_checked(s)) {
        hm_block seen;
        char place[64];
        assert_int_equal(hm_describe(s->m, block, &seen), HM_OK);
        assert_non_null(seen.site);
        assert_string_equal(hm_site_text(seen.site, 0, place, sizeof place), "a.c:42");
    }
    assert_int_equal(hm_debug_free(s->m, block, "b.c", 43), HM_OK);
}

static void contracts_109__debug_alloc_without_a_file(subject *s)
{
    void *block = hm_debug_alloc(s->m, 64, HM_LEVEL_TASK, NULL, 0);
    assert_non_null(block);
    assert_int_equal(hm_debug_free(s->m, block, NULL, 0), HM_OK);
}

/* "r-xp" or the like, of the mapping that holds address; empty when not found. */
static void protection_of(const void *address, char text[8])
{
    unsigned long from, to;
    char line[512], word[8];
    text[0] = '\0';
    FILE *f = fopen("/proc/self/maps", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%lx-%lx %7s", &from, &to, word) == 3 &&
            (uintptr_t)address >= from && (uintptr_t)address < to) {
            memcpy(text, word, sizeof word);
        }
    }
    fclose(f);
}

static void contracts_111__executable_blocks(subject *s)
{
    char protection[8];
    hm_malloc *m = malloc_with(s, HM_MALLOC_THREADSAFE | HM_MALLOC_EXECUTABLE, 0);
    if (!m) {
        assert_string_not_equal(s->spec, "default");
        return;
    }
    unsigned char *block = hm_alloc(m, 100);
    assert_non_null(block);
    block[0] = 0xC3;
    protection_of(block, protection);
    assert_non_null(strchr(protection, 'x'));
#if defined(__x86_64__)
    void (*returns)(void);
    memcpy(&returns, &block, sizeof returns);
    returns();
#endif
    assert_int_equal(hm_free(m, block), HM_OK);
    hm_malloc_release(m);
}

static void contracts_112__unknown_flag(subject *s)
{
    hm_malloc *m = s->m;
    assert_int_equal(hm_host_create_malloc(s->host, "x", 0x80, &m, NULL), HM_E_INVALID);
    assert_null(m);
}

const test_case contract_cases[] = {
    CASE(contracts_102__alloc_at_any_level),
    CASE(contracts_103__alloc_zero_bytes),
    CASE(contracts_104__alloc_beyond_the_budget),
    CASE(contracts_105__free_null),
    CASE(contracts_106__free_twice),
    CASE(contracts_107__free_what_is_not_ours),
    CASE(contracts_108__debug_alloc_names_its_place),
    CASE(contracts_109__debug_alloc_without_a_file),
    CASE(contracts_111__executable_blocks),
    CASE(contracts_112__unknown_flag),
};
const size_t contract_case_count = COUNT(contract_cases);
