/* SPDX-License-Identifier: MIT */
/* Cases 102 to 114: blocks through IHostMalloc, and the levels a runtime asks at. */
#include <hostmalloc/debug.h>
#include <hostmalloc/hostmalloc.h>
#include <string.h>

#include "clr_world.h"

static void fill(void *block, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        ((unsigned char *)block)[i] = (unsigned char)(i * 7 + 3);
    }
}

static int filled(const void *block, size_t bytes)
{
    size_t i = 0;
    while (i < bytes && ((const unsigned char *)block)[i] == (unsigned char)(i * 7 + 3)) {
        i++;
    }
    return i == bytes;
}

static int count_one(void *context, const hm_block *block)
{
    (void)block;
    (*(size_t *)context)++;
    return 0;
}

static size_t live(IHostMalloc *m)
{
    size_t count = 0;
    CHECK_EQ(hm_walk(hm_clr_malloc(m), count_one, &count), HM_OK);
    return count;
}

static void allocates_at_any_level(const contract *self)
{
    IHostMalloc *m = clr_world_malloc(MALLOC_THREADSAFE);
    (void)self;
    for (int level = eTaskCritical; level <= eProcessCritical; level++) {
        void *block = P0;
        CHECK_EQ(IHostMalloc_Alloc(m, 100, (EMemoryCriticalLevel)level, &block), S_OK);
        REQUIRE(block != NULL && block != P0);
        CHECK_EQ((uintptr_t)block % (2 * sizeof(void *)), 0);
        fill(block, 100);
        CHECK_EQ(IHostMalloc_Free(m, block), S_OK);
    }
    for (int level = -1; level <= 3; level += 4) {
        void *block = P0;
        CHECK_EQ(IHostMalloc_Alloc(m, 100, (EMemoryCriticalLevel)level, &block),
                 E_INVALIDARG);
        CHECK_PTR(block, NULL);
    }
    CHECK_EQ(IHostMalloc_Alloc(m, 100, eTaskCritical, NULL), E_INVALIDARG);
    CHECK_EQ(live(m), 0);
    CHECK_EQ(IHostMalloc_Release(m), 0);
}

static void allocates_nothing(const contract *self)
{
    IHostMalloc *m = clr_world_malloc(MALLOC_THREADSAFE);
    void *one = P0;
    void *other = P0;
    (void)self;
    CHECK_EQ(IHostMalloc_Alloc(m, 0, eTaskCritical, &one), S_OK);
    CHECK_EQ(IHostMalloc_Alloc(m, 0, eTaskCritical, &other), S_OK);
    CHECK(one != NULL && other != NULL && one != other);
    CHECK_EQ(live(m), 2);
    CHECK_EQ(IHostMalloc_Free(m, one), S_OK);
    CHECK_EQ(IHostMalloc_Free(m, other), S_OK);
    CHECK_EQ(IHostMalloc_Release(m), 0);
}

static void refuses_beyond_budget(const contract *self)
{
    hm_host *host = clr_world_with_budget(4096);
    IHostControl *control = clr_present(host);
    IHostMalloc *m = NULL;
    void *manager = NULL;
    void *block = P0;
    void *more = P0;
    (void)self;
    hm_host_release(host);
    IHostControl_GetHostManager(control, &hm_clr_iid_host_memory_manager, &manager);
    REQUIRE(manager != NULL);
    CHECK_EQ(IHostMemoryManager_CreateMalloc((IHostMemoryManager *)manager,
                                             MALLOC_THREADSAFE, &m),
             S_OK);
    REQUIRE(m != NULL);
    CHECK_EQ(IHostMalloc_Alloc(m, 4097, eProcessCritical, &block), E_OUTOFMEMORY);
    CHECK_PTR(block, NULL);
    CHECK_EQ(IHostMalloc_Alloc(m, 4096, eTaskCritical, &block), S_OK);
    CHECK_EQ(IHostMalloc_Alloc(m, 1, eTaskCritical, &more), E_OUTOFMEMORY);
    CHECK_PTR(more, NULL);
    more = P0;
    CHECK_EQ(IHostMalloc_DebugAlloc(m, SIZE_MAX, eTaskCritical, NULL, 0, &more),
             E_OUTOFMEMORY);
    CHECK_PTR(more, NULL);
    CHECK_EQ(IHostMalloc_Free(m, block), S_OK);
    IHostMalloc_Release(m);
    IHostMemoryManager_Release((IHostMemoryManager *)manager);
    CHECK_EQ(IHostControl_Release(control), 0);
}

static void frees_null(const contract *self)
{
    IHostMalloc *m = clr_world_malloc(MALLOC_THREADSAFE);
    (void)self;
    CHECK_EQ(IHostMalloc_Free(m, NULL), S_OK);
    CHECK_EQ(IHostMalloc_Release(m), 0);
}

static void frees_once(const contract *self)
{
    IHostMalloc *m = clr_world_malloc(MALLOC_THREADSAFE);
    void *block = NULL;
    (void)self;
    CHECK_EQ(IHostMalloc_Alloc(m, 100, eTaskCritical, &block), S_OK);
    CHECK_EQ(IHostMalloc_Free(m, block), S_OK);
    CHECK_EQ(IHostMalloc_Free(m, block), HOST_E_INVALIDOPERATION);
    CHECK_EQ(IHostMalloc_Free(m, block), HOST_E_INVALIDOPERATION);
    CHECK_EQ(IHostMalloc_Release(m), 0);
}

static void frees_no_stranger(const contract *self)
{
    IHostMalloc *m = clr_world_malloc(MALLOC_THREADSAFE);
    IHostMalloc *sibling = clr_world_malloc(MALLOC_THREADSAFE);
    char here[64] = {0};
    static char there[64];
    void *block = NULL;
    void *others = NULL;
    (void)self;
    CHECK_EQ(IHostMalloc_Alloc(m, 100, eTaskCritical, &block), S_OK);
    CHECK_EQ(IHostMalloc_Alloc(sibling, 100, eTaskCritical, &others), S_OK);
    REQUIRE(block != NULL && others != NULL);
    fill(block, 100);
    fill(others, 100);
    void *const strangers[] = {here,
                               here + 16,
                               there,
                               (char *)block + 1,
                               (char *)block + 8,
                               (char *)block + 16,
                               (char *)block + 96,
                               others,
                               (void *)(uintptr_t)1,
                               (void *)(uintptr_t)64,
                               (void *)(UINTPTR_MAX & ~(uintptr_t)15)};
    for (size_t i = 0; i < COUNT(strangers); i++) {
        CHECK_EQ(IHostMalloc_Free(m, strangers[i]), HOST_E_INVALIDOPERATION);
    }
    CHECK_EQ(live(m), 1);
    CHECK_EQ(live(sibling), 1);
    CHECK(filled(block, 100));
    CHECK(filled(others, 100));
    CHECK_EQ(IHostMalloc_Free(m, block), S_OK);
    CHECK_EQ(IHostMalloc_Free(sibling, others), S_OK);
    CHECK_EQ(IHostMalloc_Release(sibling), 0);
    CHECK_EQ(IHostMalloc_Release(m), 0);
}

typedef struct looking {
    uint64_t blocks;
    uint64_t bytes;
} looking;

/* Live blocks of a.c:42, as a leak report counts them. */
static int look(void *context, const hm_debug_site *seen)
{
    looking *l = context;
    char place[64];
    if (seen->site && seen->live_blocks &&
        strcmp(hm_site_text(seen->site, 0, place, sizeof place), "a.c:42") == 0) {
        l->blocks += seen->live_blocks;
        l->bytes += seen->live_bytes;
    }
    return 0;
}

static void names_the_line(const contract *self)
{
    IHostMalloc *m = clr_world_malloc(MALLOC_THREADSAFE);
    char file[] = "a.c";
    void *block = P0;
    (void)self;
    CHECK_EQ(IHostMalloc_DebugAlloc(m, 64, eTaskCritical, file, 42, &block), S_OK);
    REQUIRE(block != NULL && block != P0);
    file[0] = '#'; /* the name was copied */
    if (clr_world_checks()) {
        looking l = {0, 0};
        CHECK_EQ(hm_debug_sites(hm_debug_of_malloc(hm_clr_malloc(m)), look, &l), HM_OK);
        CHECK_EQ(l.blocks, 1);
        CHECK_EQ(l.bytes, 64);
    }
    hm_block seen;
    CHECK_EQ(hm_describe(hm_clr_malloc(m), block, &seen), HM_OK);
    CHECK_EQ(seen.requested, 64);
    if (seen.site) {
        char place[64];
        CHECK(strcmp(hm_site_text(seen.site, 0, place, sizeof place), "a.c:42") == 0);
    }
    CHECK_EQ(IHostMalloc_Free(m, block), S_OK);
    CHECK_EQ(IHostMalloc_Release(m), 0);
}

static void takes_no_name(const contract *self)
{
    IHostMalloc *m = clr_world_malloc(MALLOC_THREADSAFE);
    char empty[] = "";
    (void)self;
    for (int i = 0; i < 3; i++) {
        void *block = P0;
        CHECK_EQ(
            IHostMalloc_DebugAlloc(m, 64, eTaskCritical, i ? empty : NULL, i - 1, &block),
            S_OK);
        CHECK(block != NULL && block != P0);
        CHECK_EQ(IHostMalloc_Free(m, block), S_OK);
    }
    char file[] = "a.c";
    CHECK_EQ(IHostMalloc_DebugAlloc(m, 64, eTaskCritical, file, 1, NULL), E_INVALIDARG);
    CHECK_EQ(IHostMalloc_DebugAlloc(m, 64, eTaskCritical, NULL, 1, NULL), E_INVALIDARG);
    void *block = P0;
    CHECK_EQ(IHostMalloc_DebugAlloc(m, 64, (EMemoryCriticalLevel)3, file, 1, &block),
             E_INVALIDARG);
    CHECK_PTR(block, NULL);
    CHECK_EQ(IHostMalloc_Release(m), 0);
}

/* An allocator that stops inside an allocation until it is told to go on. */
typedef struct gate {
    uint32_t inside; /* atomic */
    uint32_t open;   /* atomic */
    hm_malloc *blocks;
    IHostMalloc *m;
    void *block;
} gate;

static gate the_gate;

static void *gate_alloc(void *context, size_t bytes)
{
    gate *g = context;
    if (bytes > 1000 && bytes < 2000) {
        __atomic_store_n(&g->inside, 1, __ATOMIC_SEQ_CST);
        while (!__atomic_load_n(&g->open, __ATOMIC_SEQ_CST)) {
        }
    }
    return (hm_alloc)(g->blocks, bytes);
}

static void gate_release(void *context, void *block, size_t bytes)
{
    gate *g = context;
    (void)bytes;
    (void)hm_free(g->blocks, block);
}

static hm_status
gate_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    (void)values, (void)inner, (void)err;
    const hm_allocator allocator = {.size = sizeof allocator,
                                    .context = &the_gate,
                                    .alloc = gate_alloc,
                                    .release = gate_release,
                                    .flags = HM_ALLOCATOR_THREADSAFE};
    return hm_core_table()->wrap_host(&allocator, "gate", out, err);
}

static void overlap(void *context, int index)
{
    gate *g = context;
    if (index == 0) {
        CHECK_EQ(IHostMalloc_Alloc(g->m, 1000, eTaskCritical, &g->block), S_OK);
        return;
    }
    void *block = NULL;
    while (!__atomic_load_n(&g->inside, __ATOMIC_SEQ_CST)) {
    }
    CHECK_EQ(IHostMalloc_Alloc(g->m, 10, eTaskCritical, &block), S_OK);
    CHECK_EQ(IHostMalloc_Free(g->m, block), S_OK);
    __atomic_store_n(&g->open, 1, __ATOMIC_SEQ_CST);
}

static size_t overlaps;

static void note(void *context, const hm_debug_finding *finding)
{
    (void)context;
    overlaps += strstr(finding->kind, "two threads at once") != NULL;
}

/* The host below is checked, and its own report of this mistake is what is wanted. */
static void checked_mode_reports(void)
{
    static const hm_host_info info = {.size = sizeof(info),
                                      .abi = HM_ABI,
                                      .kind = HM_KIND_HOST,
                                      .name = "clr_gate",
                                      .summary = "stops",
                                      .version = "1",
                                      .open = gate_open};
    static int added;
    hm_host *plain = NULL;
    hm_host *host = NULL;
    if (!added) {
        added = 1;
        CHECK_EQ(hm_registry_add(&info, NULL), HM_OK);
    }
    memset(&the_gate, 0, sizeof the_gate);
    CHECK_EQ(hm_host_open("default", &plain, NULL), HM_OK);
    CHECK_EQ(hm_host_create_malloc(plain, "gate", HM_MALLOC_THREADSAFE, &the_gate.blocks,
                                   NULL),
             HM_OK);
    CHECK_EQ(hm_host_open("debug+clr_gate", &host, NULL), HM_OK);
    REQUIRE(host != NULL);
    IHostControl *control = clr_present(host);
    void *manager = NULL;
    IHostControl_GetHostManager(control, &hm_clr_iid_host_memory_manager, &manager);
    CHECK_EQ(
        IHostMemoryManager_CreateMalloc((IHostMemoryManager *)manager, 0, &the_gate.m),
        S_OK);
    REQUIRE(the_gate.m != NULL);
    overlaps = 0;
    CHECK_EQ(hm_debug_on_finding(hm_debug_of_host(host), note, NULL), HM_OK);
    contracts_threads(2, overlap, &the_gate);
    CHECK_EQ(overlaps, 1);
    CHECK_EQ(IHostMalloc_Free(the_gate.m, the_gate.block), S_OK);
    CHECK_EQ(hm_debug_on_finding(hm_debug_of_host(host), NULL, NULL), HM_OK);
    IHostMalloc_Release(the_gate.m);
    IHostMemoryManager_Release((IHostMemoryManager *)manager);
    IHostControl_Release(control);
    hm_host_release(host);
    hm_malloc_release(the_gate.blocks);
    hm_host_release(plain);
}

static void is_used_by_one_thread(const contract *self)
{
    IHostMalloc *m = clr_world_malloc(0);
    void *blocks[50];
    (void)self;
    for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = NULL;
        CHECK_EQ(IHostMalloc_Alloc(m, i * 10, eTaskCritical, &blocks[i]), S_OK);
        fill(blocks[i], i * 10);
    }
    for (size_t i = 0; i < COUNT(blocks); i++) {
        CHECK(filled(blocks[i], i * 10));
        CHECK_EQ(IHostMalloc_Free(m, blocks[i]), S_OK);
    }
    CHECK_EQ(IHostMalloc_Release(m), 0);
    if (clr_world_checks()) {
        checked_mode_reports();
    }
}

static void holds_code(const contract *self)
{
    IHostMalloc *m = clr_world_malloc(MALLOC_THREADSAFE | MALLOC_EXECUTABLE);
    unsigned char *block = NULL;
    void *got = NULL;
    (void)self;
    CHECK_EQ(IHostMalloc_Alloc(m, 100, eTaskCritical, &got), S_OK);
    REQUIRE(got != NULL);
    block = got;
    block[0] = 0xc3; /* ret */
#if defined(__x86_64__)
    void (*returns)(void);
    memcpy(&returns, &block, sizeof returns);
    returns();
#endif
    CHECK_EQ(IHostMalloc_Free(m, block + 16), HOST_E_INVALIDOPERATION);
    CHECK_EQ(IHostMalloc_Free(m, block), S_OK);
    CHECK_EQ(IHostMalloc_Release(m), 0);
}

static void refuses_unknown_type(const contract *self)
{
    static const DWORD types[] = {0x80, 4, 8, 0x100, 0x80000001u, 0xffffffffu};
    IHostMemoryManager *manager = clr_world_manager();
    (void)self;
    for (size_t i = 0; i < COUNT(types); i++) {
        IHostMalloc *m = P0;
        CHECK_EQ(IHostMemoryManager_CreateMalloc(manager, types[i], &m), E_INVALIDARG);
        CHECK_PTR(m, NULL);
    }
    CHECK_EQ(IHostMemoryManager_CreateMalloc(manager, 1, NULL), E_INVALIDARG);
}

static EMemoryCriticalLevel level_seen(sim_clr *clr, clr_recorder *r)
{
    CHECK(sim_clr_free(clr, sim_clr_alloc(clr, 10)));
    return r->level;
}

static void asks_at_its_level(const contract *self)
{
    sim_clr clr;
    clr_recorder r;
    (void)self;
    sim_clr_init(&clr);
    clr_recorder_init(&r);
    CHECK_EQ(ICLRRuntimeHost_SetHostControl(&clr.base, &r.control), S_OK);
    CHECK_EQ(level_seen(&clr, &r), eProcessCritical);
    CHECK_EQ(ICLRRuntimeHost_Start(&clr.base), S_OK);
    CHECK_EQ(level_seen(&clr, &r), eTaskCritical);
    const uint32_t before = sim_clr_domain_enter(7);
    CHECK_EQ(level_seen(&clr, &r), eTaskCritical);
    sim_clr_lock_take();
    CHECK_EQ(level_seen(&clr, &r), eAppDomainCritical);
    sim_clr_domain_enter(before);
    CHECK_EQ(level_seen(&clr, &r), eProcessCritical);
    sim_clr_lock_leave();
    CHECK_EQ(level_seen(&clr, &r), eTaskCritical);
    ICLRRuntimeHost_Stop(&clr.base);
}

static HRESULT STDMETHODCALLTYPE do_nothing(void *cookie)
{
    ++*(int *)cookie;
    return S_OK;
}

static void fails_by_level(const contract *self)
{
    sim_clr clr;
    clr_recorder r;
    int ran = 0;
    (void)self;
    sim_clr_init(&clr);
    clr_recorder_init(&r);
    CHECK_EQ(ICLRRuntimeHost_SetHostControl(&clr.base, &r.control), S_OK);
    CHECK_EQ(ICLRRuntimeHost_Start(&clr.base), S_OK);
    r.refuse_from = eTaskCritical;
    CHECK_PTR(sim_clr_alloc(&clr, 10), NULL);
    CHECK_EQ(clr.last_action, eThrowException);
    CHECK_EQ(clr.base.lpVtbl->ExecuteInAppDomain(&clr.base, 1, do_nothing, &ran), S_OK);
    CHECK_EQ(ran, 1);
    r.refuse_from = eProcessCritical;
    sim_clr_lock_take();
    CHECK_PTR(sim_clr_alloc(&clr, 10), NULL);
    sim_clr_lock_leave();
    CHECK_EQ(clr.base.lpVtbl->ExecuteInAppDomain(&clr.base, 1, do_nothing, &ran),
             HOST_E_CLRNOTAVAILABLE);
    CHECK_EQ(clr.base.lpVtbl->UnloadAppDomain(&clr.base, 2, 1), HOST_E_CLRNOTAVAILABLE);
    CHECK_EQ(ICLRRuntimeHost_Start(&clr.base), HOST_E_CLRNOTAVAILABLE);
    CHECK_EQ(ran, 1);
    CHECK_EQ(clr.refusals, 2);
    ICLRRuntimeHost_Stop(&clr.base);
}

const contract clr_malloc_cases[13] = {
    {102, "D, C", "Alloc(100) at any level, aligned", allocates_at_any_level, 0},
    {103, "C", "Alloc(0) gives a block", allocates_nothing, 0},
    {104, "D", "Alloc beyond the budget is refused", refuses_beyond_budget, 0},
    {105, "C", "Free(NULL) is S_OK", frees_null, 0},
    {106, "D, R", "a second Free is refused", frees_once, 0},
    {107, "D", "Free refuses strangers and frees nothing", frees_no_stranger, 0},
    {108, "D", "DebugAlloc's file and line are in the report", names_the_line, 0},
    {109, "R", "DebugAlloc without a file", takes_no_name, 0},
    {110, "D, R", "without MALLOC_THREADSAFE: one thread at a time",
     is_used_by_one_thread, 0},
    {111, "D", "CreateMalloc(3) gives blocks for code", holds_code, 0},
    {112, "R", "CreateMalloc refuses unknown bits", refuses_unknown_type, 0},
    {113, "C", "the level follows start, lock and domain", asks_at_its_level, 0},
    {114, "D", "a failure at level 0 is survived, at level 2 not", fails_by_level, 0},
};
