/* SPDX-License-Identifier: MIT */
/* Virtual memory, as far as every host must go: reserve, commit, query, protect, free. */
#include "kit.h"

#define RESERVED ((size_t)1 << 18)
#define PAGE     ((size_t)4096)

static char *reserve(kit *k)
{
    void *pages = NULL;
    const hm_status status =
        hm_host_virtual_alloc(k->host, NULL, RESERVED, HM_MEM_RESERVE, HM_PAGE_READWRITE,
                              HM_LEVEL_TASK, &pages);
    if (status == HM_E_UNSUPPORTED) {
        kit_pass_over(k, "virtual_alloc answers HM_E_UNSUPPORTED");
    }
    KIT_EXPECT(k, status == HM_OK && pages, "reserved address space", "%s",
               hm_status_name(status));
    return pages;
}

static char *commit(kit *k, char *at, size_t bytes)
{
    void *pages = NULL;
    const hm_status status = hm_host_virtual_alloc(
        k->host, at, bytes, HM_MEM_COMMIT, HM_PAGE_READWRITE, HM_LEVEL_TASK, &pages);
    KIT_EXPECT(k, status == HM_OK && pages == at,
               "committed pages where they were reserved", "%s", hm_status_name(status));
    return pages;
}

static void give_back(kit *k, void *pages)
{
    const hm_status status = hm_host_virtual_free(k->host, pages, 0, HM_MEM_RELEASE);
    KIT_EXPECT(k, status == HM_OK, "HM_OK when a reservation is released", "%s",
               hm_status_name(status));
}

static void commits(kit *k)
{
    char *pages = reserve(k);
    char *part = commit(k, pages + PAGE, 2 * PAGE);
    KIT_EXPECT(k, kit_is_zero(part, 2 * PAGE), "pages of zero", "other bytes");
    kit_mark(part, 2 * PAGE, 1);
    commit(k, pages, PAGE);
    KIT_EXPECT(k, kit_marked(part, 2 * PAGE, 1) == 2 * PAGE,
               "pages that keep their bytes", "changed ones");
    give_back(k, pages);
}

static void decommits(kit *k)
{
    char *pages = reserve(k);
    char *part = commit(k, pages, 2 * PAGE);
    memset(part, 1, 2 * PAGE);
    const hm_status status = hm_host_virtual_free(k->host, part, PAGE, HM_MEM_DECOMMIT);
    KIT_EXPECT(k, status == HM_OK, "HM_OK when a page is decommitted", "%s",
               hm_status_name(status));
    commit(k, part, PAGE);
    KIT_EXPECT(k, kit_is_zero(part, PAGE), "zero in a page committed again",
               "other bytes");
    KIT_EXPECT(k, part[PAGE] == 1, "the next page untouched", "changed bytes");
    give_back(k, pages);
}

static void expect_state(kit *k, const char *at, const char *base, uint32_t state)
{
    hm_region r;
    const hm_status status = hm_host_virtual_query(k->host, at, &r);
    KIT_EXPECT(k, status == HM_OK, "HM_OK from virtual_query", "%s",
               hm_status_name(status));
    KIT_EXPECT(k, r.state == state && r.allocation_base == base,
               "state and allocation base of the page",
               "state 0x%x, expected 0x%x, at %s", (unsigned)r.state, (unsigned)state,
               r.allocation_base == base ? "its base" : "another base");
    KIT_EXPECT(k, r.base && (char *)r.base <= at && (char *)r.base + r.bytes > at,
               "a region that holds the address", "%zu bytes elsewhere", r.bytes);
}

static void answers_queries(kit *k)
{
    char *pages = reserve(k);
    commit(k, pages + PAGE, PAGE);
    expect_state(k, pages, pages, HM_MEM_RESERVE);
    expect_state(k, pages + PAGE + 5, pages, HM_MEM_COMMIT);
    expect_state(k, pages + 2 * PAGE, pages, HM_MEM_RESERVE);
    give_back(k, pages);
}

static void protects(kit *k)
{
    char *pages = reserve(k);
    uint32_t old = 0;
    commit(k, pages, 2 * PAGE);
    hm_status status =
        hm_host_virtual_protect(k->host, pages, PAGE, HM_PAGE_READONLY, &old);
    KIT_EXPECT(k, status == HM_OK && old == HM_PAGE_READWRITE,
               "the first page's protection before", "%s, 0x%x", hm_status_name(status),
               (unsigned)old);
    status = hm_host_virtual_protect(k->host, pages, PAGE, HM_PAGE_READWRITE, &old);
    KIT_EXPECT(k, status == HM_OK && old == HM_PAGE_READONLY,
               "the first page's protection before", "%s, 0x%x", hm_status_name(status),
               (unsigned)old);
    status = hm_host_virtual_protect(k->host, pages, PAGE, HM_PAGE_READONLY, NULL);
    KIT_EXPECT(k, status == HM_E_INVALID, "HM_E_INVALID for old NULL", "%s",
               hm_status_name(status));
    pages[0] = 1;
    give_back(k, pages);
}

static void refuses_foreign(kit *k)
{
    int here = 0;
    give_back(k, reserve(k));
    const hm_status status = hm_host_virtual_free(k->host, &here, 0, HM_MEM_RELEASE);
    KIT_EXPECT(k, status == HM_E_NOT_OWNED || status == HM_E_INVALID,
               "HM_E_NOT_OWNED for the stack", "%s", hm_status_name(status));
    char *pages = reserve(k);
    give_back(k, pages);
    const hm_status twice = hm_host_virtual_free(k->host, pages, 0, HM_MEM_RELEASE);
    KIT_EXPECT(k, twice == HM_E_NOT_OWNED, "HM_E_NOT_OWNED for what was released before",
               "%s", hm_status_name(twice));
}

static void refuses_bad(kit *k)
{
    static const struct {
        const char *what;
        size_t size;
        uint32_t type, protection;
    } bad[] = {{"no bytes", 0, HM_MEM_RESERVE, HM_PAGE_READWRITE},
               {"no type", PAGE, 0, HM_PAGE_READWRITE},
               {"no protection", PAGE, HM_MEM_RESERVE | HM_MEM_COMMIT, 0},
               {"two protections", PAGE, HM_MEM_RESERVE | HM_MEM_COMMIT, 6},
               {"half the address space", SIZE_MAX / 2, HM_MEM_RESERVE | HM_MEM_COMMIT,
                HM_PAGE_READWRITE}};
    give_back(k, reserve(k));
    for (size_t i = 0; i < KIT_COUNT(bad); i++) {
        void *out = k;
        const hm_status status =
            hm_host_virtual_alloc(k->host, NULL, bad[i].size, bad[i].type,
                                  bad[i].protection, HM_LEVEL_TASK, &out);
        KIT_EXPECT(k, status != HM_OK, "a refusal", "HM_OK for %s", bad[i].what);
        KIT_EXPECT(k, !out, "*out NULL unless HM_OK", "it was left alone for %s",
                   bad[i].what);
    }
    char *pages = reserve(k);
    const hm_status status = hm_host_virtual_free(k->host, pages, PAGE, HM_MEM_RELEASE);
    KIT_EXPECT(k, status == HM_E_INVALID, "HM_E_INVALID for releasing a part", "%s",
               hm_status_name(status));
    give_back(k, pages);
}

static const kit_clause clauses[] = {
    {"host.virtual.commit", "reserved pages are committed, zeroed, and keep their bytes",
     KIT_MUST, KIT_HOST, commits},
    {"host.virtual.decommit", "decommitted pages come back as zero", KIT_MUST, KIT_HOST,
     decommits},
    {"host.virtual.query", "virtual_query answers state and base", KIT_MUST, KIT_HOST,
     answers_queries},
    {"host.virtual.protect", "virtual_protect answers what was; old NULL is HM_E_INVALID",
     KIT_MUST, KIT_HOST, protects},
    {"host.virtual.foreign", "HM_E_NOT_OWNED for memory that is not the host's", KIT_MUST,
     KIT_HOST, refuses_foreign},
    {"host.virtual.bad-refused", "bad combinations are refused, *out NULL", KIT_MUST,
     KIT_HOST, refuses_bad},
};
const kit_group kit_pages = KIT_GROUP(clauses);
