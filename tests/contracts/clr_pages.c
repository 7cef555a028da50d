/* SPDX-License-Identifier: MIT */
/* Cases 115 to 136: pages through IHostMemoryManager. */
#include <hostmalloc/layer.h>
#include <string.h>

#include "clr_world.h"

#define PAGE    ((SIZE_T)4096)
#define GRANULE ((SIZE_T)65536)
#define RW      PAGE_READWRITE

static HRESULT try_alloc(void *address, SIZE_T bytes, DWORD type, DWORD how, void **out)
{
    return IHostMemoryManager_VirtualAlloc(clr_world_manager(), address, bytes, type, how,
                                           eTaskCritical, out);
}

static HRESULT try_free(void *address, SIZE_T bytes, DWORD type)
{
    return IHostMemoryManager_VirtualFree(clr_world_manager(), address, bytes, type);
}

/* Reserved, not committed. */
static char *reserved(SIZE_T bytes)
{
    void *p = P0;
    CHECK_EQ(try_alloc(NULL, bytes, MEM_RESERVE, PAGE_NOACCESS, &p), S_OK);
    REQUIRE(p != NULL && p != P0);
    return p;
}

static void committed(char *at, SIZE_T bytes)
{
    void *p = P0;
    const HRESULT result = try_alloc(at, bytes, MEM_COMMIT, RW, &p);
    CHECK_EQ(result, S_OK);
    REQUIRE(result == S_OK && p != NULL);
}

static void release(char *p)
{
    CHECK_EQ(try_free(p, 0, MEM_RELEASE), S_OK);
}

static MEMORY_BASIC_INFORMATION asked(const void *at)
{
    MEMORY_BASIC_INFORMATION seen;
    SIZE_T written = 0;
    memset(&seen, 0xee, sizeof seen);
    CHECK_EQ(IHostMemoryManager_VirtualQuery(clr_world_manager(), (void *)(uintptr_t)at,
                                             &seen, sizeof seen, &written),
             S_OK);
    CHECK_EQ(written, sizeof seen);
    return seen;
}

static int is_zero(const char *p, SIZE_T bytes)
{
    SIZE_T i = 0;
    while (i < bytes && p[i] == 0) {
        i++;
    }
    return i == bytes;
}

/* A call that must fail, and its out parameter. */
static void refused(void *address, SIZE_T bytes, DWORD type, DWORD how)
{
    void *p = P0;
    CHECK(FAILED(try_alloc(address, bytes, type, how, &p)));
    CHECK_PTR(p, NULL);
}

static void reserves(const contract *self)
{
    char *p = reserved(GRANULE);
    (void)self;
    CHECK_EQ((uintptr_t)p % GRANULE, 0);
    CHECK_EQ(asked(p).State, MEM_RESERVE);
    CHECK_EQ(asked(p).RegionSize, GRANULE);
    release(p);
    refused(NULL, 0, MEM_RESERVE, RW);
    refused(NULL, PAGE, 0, RW);
    refused(NULL, PAGE, MEM_RESERVE, 0);
    refused(NULL, PAGE, 0x10, RW);
    refused(NULL, SIZE_MAX, MEM_RESERVE, RW);
    CHECK_EQ(try_alloc(NULL, PAGE, MEM_RESERVE, RW, NULL), E_INVALIDARG);
    void *none = P0;
    CHECK_EQ(IHostMemoryManager_VirtualAlloc(clr_world_manager(), NULL, PAGE, MEM_RESERVE,
                                             RW, (EMemoryCriticalLevel)3, &none),
             E_INVALIDARG);
    CHECK_PTR(none, NULL);
}

static void commits_zeros(const contract *self)
{
    char *p = reserved(GRANULE);
    (void)self;
    committed(p + PAGE, PAGE);
    CHECK(is_zero(p + PAGE, PAGE));
    CHECK_EQ(asked(p).State, MEM_RESERVE);
    CHECK_EQ(asked(p + PAGE).State, MEM_COMMIT);
    release(p);
}

static void commits_again(const contract *self)
{
    char *p = reserved(GRANULE);
    (void)self;
    committed(p + PAGE, PAGE);
    memset(p + PAGE, 7, PAGE);
    committed(p + PAGE, PAGE);
    committed(p, 4 * PAGE);
    CHECK_EQ(p[PAGE] + p[2 * PAGE - 1], 14);
    release(p);
}

static void commits_across(const contract *self)
{
    char *p = reserved(GRANULE);
    void *got = NULL;
    (void)self;
    CHECK_EQ(try_alloc(p + 2 * PAGE - 1, 2, MEM_COMMIT, RW, &got), S_OK);
    CHECK_PTR(got, p + PAGE);
    CHECK_EQ(asked(p + PAGE).RegionSize, 2 * PAGE);
    p[PAGE] = p[3 * PAGE - 1] = 1;
    release(p);
}

static void refuses_commit_outside(const contract *self)
{
    char *p = reserved(2 * GRANULE);
    (void)self;
    release(p);
    void *got = P0;
    CHECK_EQ(try_alloc(p, PAGE, MEM_COMMIT, RW, &got), HOST_E_INVALIDOPERATION);
    CHECK_PTR(got, NULL);
    p = reserved(GRANULE);
    refused(p + GRANULE - PAGE, 2 * PAGE, MEM_COMMIT, RW);
    CHECK_EQ(asked(p + GRANULE - PAGE).State, MEM_RESERVE);
    release(p);
}

static void refuses_to_reserve_twice(const contract *self)
{
    char *p = reserved(2 * GRANULE);
    (void)self;
    committed(p, PAGE);
    p[0] = 5;
    refused(p, GRANULE, MEM_RESERVE, RW);
    refused(p + GRANULE, 2 * GRANULE, MEM_RESERVE, RW);
    refused(p, PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_READONLY);
    CHECK_EQ(p[0], 5);
    CHECK_EQ(asked(p).RegionSize, PAGE);
    CHECK_EQ(asked(p).Protect, RW);
    CHECK_EQ(asked(p + PAGE).RegionSize, 2 * GRANULE - PAGE);
    release(p);
}

static void reserves_and_commits(const contract *self)
{
    static const DWORD types[] = {MEM_RESERVE | MEM_COMMIT, MEM_COMMIT};
    (void)self;
    for (size_t i = 0; i < COUNT(types); i++) {
        void *got = P0;
        CHECK_EQ(try_alloc(NULL, 5000, types[i], RW, &got), S_OK);
        REQUIRE(got != NULL && got != P0);
        CHECK(is_zero(got, 2 * PAGE));
        memset(got, 1, 2 * PAGE);
        CHECK_EQ(asked(got).RegionSize, 2 * PAGE);
        release(got);
    }
}

static void releases(const contract *self)
{
    char *p = reserved(4 * GRANULE);
    (void)self;
    committed(p, GRANULE);
    release(p);
    CHECK_EQ(asked(p).State, MEM_FREE);
    CHECK_PTR(asked(p).AllocationBase, NULL);
    CHECK_EQ(try_free(p, 0, MEM_RELEASE), HOST_E_INVALIDOPERATION);
}

/* The range is as it was before the free that failed. */
static void refuses_free(SIZE_T offset, SIZE_T bytes, DWORD type)
{
    char *p = reserved(GRANULE);
    committed(p, 2 * PAGE);
    p[0] = p[PAGE] = 5;
    CHECK(FAILED(try_free(p + offset, bytes, type)));
    CHECK_EQ(p[0] + p[PAGE], 10);
    CHECK_EQ(asked(p).RegionSize, 2 * PAGE);
    CHECK_EQ(asked(p + 2 * PAGE).State, MEM_RESERVE);
    release(p);
}

static void releases_no_part(const contract *self)
{
    (void)self;
    refuses_free(0, PAGE, MEM_RELEASE);
    refuses_free(0, GRANULE, MEM_RELEASE);
}

static void releases_the_base_only(const contract *self)
{
    (void)self;
    refuses_free(PAGE, 0, MEM_RELEASE);
    refuses_free(1, 0, MEM_RELEASE);
}

static void frees_one_way(const contract *self)
{
    (void)self;
    refuses_free(0, PAGE, MEM_RELEASE | MEM_DECOMMIT);
    refuses_free(0, 0, MEM_RELEASE | MEM_DECOMMIT);
    refuses_free(0, 0, 0);
    refuses_free(0, 0, MEM_COMMIT);
}

static void decommits(const contract *self)
{
    char *p = reserved(GRANULE);
    (void)self;
    committed(p + PAGE, PAGE);
    p[PAGE] = 5;
    CHECK_EQ(try_free(p, 3 * PAGE, MEM_DECOMMIT), S_OK);
    CHECK_EQ(asked(p + PAGE).State, MEM_RESERVE);
    committed(p + PAGE, PAGE);
    CHECK(is_zero(p + PAGE, PAGE));
    release(p);
}

static void decommits_all(const contract *self)
{
    char *p = reserved(GRANULE);
    (void)self;
    committed(p + PAGE, 3 * PAGE);
    CHECK(FAILED(try_free(p + PAGE, 0, MEM_DECOMMIT)));
    CHECK_EQ(try_free(p, 0, MEM_DECOMMIT), S_OK);
    CHECK_EQ(asked(p).RegionSize, GRANULE);
    CHECK_EQ(asked(p).State, MEM_RESERVE);
    release(p);
}

static void frees_no_stranger(const contract *self)
{
    static char here[128];
    (void)self;
    CHECK_EQ(try_free(here, 0, MEM_RELEASE), HOST_E_INVALIDOPERATION);
    CHECK_EQ(try_free(NULL, 0, MEM_RELEASE), HOST_E_INVALIDOPERATION);
    CHECK_EQ(try_free(here, 64, MEM_DECOMMIT), HOST_E_INVALIDOPERATION);
    CHECK_EQ(try_free((void *)UINTPTR_MAX, 0, MEM_RELEASE), HOST_E_INVALIDOPERATION);
}

static void describes_committed(const contract *self)
{
    char *p = reserved(GRANULE);
    (void)self;
    committed(p + PAGE, 4 * PAGE);
    const MEMORY_BASIC_INFORMATION seen = asked(p + 2 * PAGE + 9);
    CHECK_PTR(seen.BaseAddress, p + 2 * PAGE);
    CHECK_PTR(seen.AllocationBase, p);
    CHECK_EQ(seen.AllocationProtect, PAGE_NOACCESS);
    CHECK_EQ(seen.RegionSize, 3 * PAGE);
    CHECK_EQ(seen.State, 0x1000);
    CHECK_EQ(seen.Protect, RW);
    CHECK_EQ(seen.Type, 0x20000);
    CHECK_EQ(sizeof seen, sizeof(void *) == 8 ? 48 : 28);
    release(p);
}

static void describes_others(const contract *self)
{
    char *p = reserved(GRANULE);
    (void)self;
    CHECK_EQ(asked(p + PAGE).State, 0x2000);
    CHECK_PTR(asked(p + PAGE).AllocationBase, p);
    release(p);
    CHECK_EQ(asked(p).State, 0x10000);
    CHECK(asked(p).RegionSize >= GRANULE);
}

static void refuses_small_buffers(const contract *self)
{
    IHostMemoryManager *m = clr_world_manager();
    MEMORY_BASIC_INFORMATION seen;
    char *p = reserved(GRANULE);
    (void)self;
    for (SIZE_T length = 0; length < sizeof seen; length += sizeof seen - 1) {
        SIZE_T written = 99;
        memset(&seen, 0xee, sizeof seen);
        const HRESULT result =
            IHostMemoryManager_VirtualQuery(m, p, &seen, length, &written);
        CHECK(FAILED(result));
        CHECK_EQ(written, 0);
        CHECK_EQ(((unsigned char *)&seen)[0], 0xee);
    }
    SIZE_T written = 99;
    CHECK(FAILED(IHostMemoryManager_VirtualQuery(m, p, NULL, sizeof seen, &written)));
    CHECK_EQ(written, 0);
    CHECK_EQ(IHostMemoryManager_VirtualQuery(m, p, &seen, sizeof seen, NULL),
             E_INVALIDARG);
    release(p);
}

/* This world's host, but that a reservation of this size waits inside it. */
#define STOPS_AT (7 * GRANULE)

typedef struct stopping_host {
    hm_layer_host layer;
    hm_host_vtbl table;
    IHostMemoryManager *manager;
    char *known;
    uint32_t inside; /* atomic */
    uint32_t open;   /* atomic */
} stopping_host;

static hm_status stopping_alloc(hm_host *self,
                                void *address,
                                size_t size,
                                uint32_t type,
                                uint32_t how,
                                hm_level level,
                                void **out)
{
    stopping_host *s = (stopping_host *)self;
    if (size == STOPS_AT) {
        __atomic_store_n(&s->inside, 1, __ATOMIC_SEQ_CST);
        while (!__atomic_load_n(&s->open, __ATOMIC_SEQ_CST)) {
        }
    }
    return hm_host_virtual_alloc(s->layer.inner, address, size, type, how, level, out);
}

static void query_beside(void *context, int index)
{
    stopping_host *s = context;
    if (index == 0) {
        void *p = NULL;
        CHECK_EQ(IHostMemoryManager_VirtualAlloc(s->manager, NULL, STOPS_AT, MEM_RESERVE,
                                                 RW, eTaskCritical, &p),
                 S_OK);
        CHECK_EQ(IHostMemoryManager_VirtualFree(s->manager, p, 0, MEM_RELEASE), S_OK);
        return;
    }
    MEMORY_BASIC_INFORMATION seen;
    SIZE_T written = 0;
    while (!__atomic_load_n(&s->inside, __ATOMIC_SEQ_CST)) {
    }
    CHECK_EQ(IHostMemoryManager_VirtualQuery(s->manager, s->known, &seen, sizeof seen,
                                             &written),
             S_OK);
    CHECK_EQ(seen.RegionSize, GRANULE);
    __atomic_store_n(&s->open, 1, __ATOMIC_SEQ_CST);
}

/* The bridge holds nothing while a thread is inside; that the core's own query waits for nobody is the business of the
   core's tests, which stop a thread anywhere. */
static void queries_beside_stopped(const contract *self)
{
    const hm_core *core = hm_core_table();
    stopping_host *s = core->memory_alloc(sizeof *s);
    void *manager = NULL;
    (void)self;
    REQUIRE(s != NULL);
    s->table = *core->host_forward;
    s->table.virtual_alloc = stopping_alloc;
    hm_layer_host_init(&s->layer, &s->table, clr_world_host(), sizeof *s);
    IHostControl *control = clr_present(&s->layer.base);
    IHostControl_GetHostManager(control, &hm_clr_iid_host_memory_manager, &manager);
    s->manager = manager;
    s->known = reserved(GRANULE);
    contracts_threads(2, query_beside, s);
    release(s->known);
    IHostMemoryManager_Release(s->manager);
    CHECK_EQ(IHostControl_Release(control), 0);
    hm_host_release(&s->layer.base);
}

static HRESULT try_protect(void *address, SIZE_T bytes, DWORD how, DWORD *old)
{
    return IHostMemoryManager_VirtualProtect(clr_world_manager(), address, bytes, how,
                                             old);
}

static void protects(const contract *self)
{
    char *p = reserved(GRANULE);
    DWORD old = 99;
    (void)self;
    committed(p, 2 * PAGE);
    CHECK_EQ(try_protect(p, PAGE, PAGE_READONLY, &old), S_OK);
    CHECK_EQ(old, PAGE_READWRITE);
    CHECK_EQ(asked(p).Protect, PAGE_READONLY);
    CHECK_EQ(asked(p).RegionSize, PAGE);
    CHECK_EQ(try_protect(p + PAGE - 1, 2, PAGE_NOACCESS, &old), S_OK);
    CHECK_EQ(old, PAGE_READONLY);
    CHECK_EQ(asked(p).RegionSize, 2 * PAGE);
    release(p);
}

static void protects_committed_only(const contract *self)
{
    char *p = reserved(GRANULE);
    DWORD old = 99;
    (void)self;
    committed(p, 2 * PAGE);
    CHECK(FAILED(try_protect(p, 3 * PAGE, PAGE_READONLY, &old)));
    CHECK_EQ(asked(p).Protect, PAGE_READWRITE);
    CHECK_EQ(asked(p).RegionSize, 2 * PAGE);
    CHECK(FAILED(try_protect(p, PAGE, 0x33, &old)));
    CHECK(FAILED(try_protect(p, 0, PAGE_READONLY, &old)));
    p[0] = 1;
    release(p);
    CHECK_EQ(try_protect(p, PAGE, PAGE_READONLY, &old), HOST_E_INVALIDOPERATION);
}

static void protects_with_a_place(const contract *self)
{
    char *p = reserved(GRANULE);
    (void)self;
    committed(p, PAGE);
    CHECK(FAILED(try_protect(p, PAGE, PAGE_READONLY, NULL)));
    CHECK_EQ(asked(p).Protect, PAGE_READWRITE);
    release(p);
}

static void count_clause(void *context, const char *clause)
{
    *(int *)context += strstr(clause, "never with NULL") != NULL;
}

static void print_clause(void *context, const char *clause)
{
    (void)context;
    CHECK(!clause);
}

static void flags_success_without_pages(const contract *self)
{
    clr_recorder r;
    int named = 0;
    void *pages = P0;
    hm_host *host = NULL;
    (void)self;
    clr_recorder_init(&r);
    CHECK(hm_clr_check(&r.manager, count_clause, &named) > 0);
    CHECK_EQ(named, 1);
    CHECK_EQ(hm_clr_check(NULL, NULL, NULL), 1);
    CHECK_EQ(hm_clr_check(clr_world_manager(), print_clause, NULL), 0);
    /* Neither as a host does such a manager get NULL through as memory. */
    CHECK_EQ(hm_clr_host_create(&r.manager, NULL, &host, NULL), HM_OK);
    REQUIRE(host != NULL);
    CHECK_EQ(hm_host_virtual_alloc(host, NULL, PAGE, HM_MEM_RESERVE, HM_PAGE_READWRITE,
                                   HM_LEVEL_TASK, &pages),
             HM_E_NOMEM);
    CHECK_PTR(pages, NULL);
    hm_host_release(host);
    CHECK_EQ(r.manager_refs, 1);
}

const contract clr_page_cases[22] = {
    {115, "D", "MEM_RESERVE starts at 64 KiB", reserves, 0},
    {116, "D", "a committed page reads as zero", commits_zeros, 0},
    {117, "D", "committing again keeps the contents", commits_again, 0},
    {118, "D", "2 bytes across a boundary commit both pages", commits_across, 0},
    {119, "D", "MEM_COMMIT where nothing is reserved fails", refuses_commit_outside, 0},
    {120, "D", "MEM_RESERVE over a reservation fails", refuses_to_reserve_twice, 0},
    {121, "D", "reserved and committed in one call", reserves_and_commits, 0},
    {122, "D", "MEM_RELEASE frees the range", releases, 0},
    {123, "D", "MEM_RELEASE with a size fails", releases_no_part, 0},
    {124, "D", "MEM_RELEASE inside a range fails", releases_the_base_only, 0},
    {125, "D", "MEM_RELEASE with MEM_DECOMMIT fails", frees_one_way, 0},
    {126, "D", "MEM_DECOMMIT of a range partly committed", decommits, 0},
    {127, "D", "MEM_DECOMMIT of 0 bytes takes the whole range", decommits_all, 0},
    {128, "D", "VirtualFree of a stranger's address", frees_no_stranger, 0},
    {129, "D", "VirtualQuery of committed pages", describes_committed, 0},
    {130, "D", "VirtualQuery of reserved and free pages", describes_others, 0},
    {131, "D", "VirtualQuery into too little room", refuses_small_buffers, 0},
    {132, "D", "VirtualQuery beside a stopped VirtualAlloc", queries_beside_stopped, 0},
    {133, "D", "VirtualProtect answers what there was", protects, 0},
    {134, "D", "VirtualProtect needs committed pages", protects_committed_only, 0},
    {135, "D", "VirtualProtect needs a place for the old", protects_with_a_place, 0},
    {136, "R", "S_OK with NULL is flagged", flags_success_without_pages, 0},
};
