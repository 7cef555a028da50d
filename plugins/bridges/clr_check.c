/* SPDX-License-Identifier: MIT */
/* What a runtime relies on without looking, asked of a memory manager. Everything asked for is given back. */
#include <hostmalloc/bridges/clr.h>

#define GRANULE 65536
#define PAGE    4096

typedef struct checking {
    IHostMemoryManager *manager;
    void (*tell)(void *context, const char *clause);
    void *context;
    int faults;
} checking;

static void expect(checking *c, int holds, const char *clause)
{
    if (!holds) {
        c->faults++;
        if (c->tell) {
            c->tell(c->context, clause);
        }
    }
}

/* What an out parameter holds before the call, so that one nobody wrote shows. */
static void *unwritten(const checking *c)
{
    return (void *)(uintptr_t)c;
}

static void check_blocks(checking *c, IHostMalloc *m)
{
    static const SIZE_T sizes[] = {0, 1, 100, 5000};
    char file[] = "clr_check";
    void *blocks[4];
    for (int i = 0; i < 4; i++) {
        blocks[i] = unwritten(c);
        const HRESULT result =
            i % 2 ? m->lpVtbl->Alloc(m, sizes[i], eTaskCritical, &blocks[i])
                  : m->lpVtbl->DebugAlloc(m, sizes[i], eTaskCritical, i ? file : NULL, i,
                                          &blocks[i]);
        const int made = result == S_OK && blocks[i] && blocks[i] != unwritten(c);
        expect(c, made, "Alloc and DebugAlloc answer S_OK with a block, for 0 bytes too");
        blocks[i] = made ? blocks[i] : NULL;
        expect(c, (uintptr_t)blocks[i] % (2 * sizeof(void *)) == 0,
               "blocks are aligned to two pointers");
    }
    expect(c, blocks[0] != blocks[1], "two blocks have two addresses");
    for (int i = 0; i < 4; i++) {
        expect(c, !blocks[i] || m->lpVtbl->Free(m, blocks[i]) == S_OK,
               "Free of a block answers S_OK");
    }
    expect(c, m->lpVtbl->Free(m, NULL) == S_OK, "Free of NULL answers S_OK");
    void *none = unwritten(c);
    expect(c, m->lpVtbl->Alloc(m, SIZE_MAX, eTaskCritical, &none) != S_OK && !none,
           "an Alloc that fails says so and leaves NULL");
}

static void check_identity(checking *c, IHostMalloc *m)
{
    static const IID nobody = {1, 2, 3, {4, 5, 6, 7, 8, 9, 10, 11}};
    void *object = unwritten(c);
    expect(c, m->lpVtbl->QueryInterface(m, &nobody, &object) == E_NOINTERFACE && !object,
           "QueryInterface refuses an unknown interface and leaves NULL");
}

static void check_malloc(checking *c)
{
    IHostMalloc *m = (IHostMalloc *)unwritten(c);
    const HRESULT result =
        c->manager->lpVtbl->CreateMalloc(c->manager, MALLOC_THREADSAFE, &m);
    const int made = result == S_OK && m && (void *)m != unwritten(c);
    expect(c, made, "CreateMalloc(MALLOC_THREADSAFE) answers S_OK with an object");
    if (made) {
        check_blocks(c, m);
        check_identity(c, m);
        m->lpVtbl->Release(m);
    }
}

static void check_commit(checking *c, unsigned char *pages)
{
    IHostMemoryManager *m = c->manager;
    MEMORY_BASIC_INFORMATION seen;
    SIZE_T written = 0;
    DWORD old = 0;
    void *page = unwritten(c);
    HRESULT result = m->lpVtbl->VirtualAlloc(m, pages + PAGE, PAGE, MEM_COMMIT,
                                             PAGE_READWRITE, eTaskCritical, &page);
    expect(c, result == S_OK && page == pages + PAGE,
           "VirtualAlloc commits a reserved page where it is");
    if (result != S_OK) {
        return;
    }
    int zeros = 1;
    for (int i = 0; i < PAGE; i++) {
        zeros = zeros && pages[PAGE + i] == 0;
    }
    expect(c, zeros, "a page that was committed reads as zero");
    result = m->lpVtbl->VirtualQuery(m, pages + PAGE, &seen, sizeof seen, &written);
    expect(c,
           !FAILED(result) && written == sizeof seen && seen.State == MEM_COMMIT &&
               seen.RegionSize == PAGE && seen.AllocationBase == pages,
           "VirtualQuery describes a committed page");
    result = m->lpVtbl->VirtualProtect(m, pages + PAGE, PAGE, PAGE_READONLY, &old);
    expect(c, result == S_OK && old == PAGE_READWRITE,
           "VirtualProtect answers S_OK and what there was before");
}

static void check_pages(checking *c)
{
    IHostMemoryManager *m = c->manager;
    void *pages = unwritten(c);
    HRESULT result = m->lpVtbl->VirtualAlloc(m, NULL, GRANULE, MEM_RESERVE, PAGE_NOACCESS,
                                             eTaskCritical, &pages);
    const int made = result == S_OK && pages && pages != unwritten(c);
    expect(c, made, "VirtualAlloc answers S_OK with an address, never with NULL");
    if (made) {
        expect(c, (uintptr_t)pages % GRANULE == 0, "reservations start at 64 KiB");
        check_commit(c, (unsigned char *)pages);
        expect(c, m->lpVtbl->VirtualFree(m, pages, 0, MEM_RELEASE) == S_OK,
               "VirtualFree releases what was reserved");
    }
    pages = unwritten(c);
    result = m->lpVtbl->VirtualAlloc(m, NULL, SIZE_MAX, MEM_RESERVE, PAGE_NOACCESS,
                                     eTaskCritical, &pages);
    expect(c, result != S_OK && !pages,
           "a VirtualAlloc that fails says so and leaves NULL");
    expect(c, m->lpVtbl->VirtualFree(m, &pages, 0, MEM_RELEASE) != S_OK,
           "VirtualFree refuses what was not reserved");
}

static void check_load(checking *c)
{
    DWORD percent = 101;
    SIZE_T available = 0;
    const HRESULT result =
        c->manager->lpVtbl->GetMemoryLoad(c->manager, &percent, &available);
    expect(c, result != S_OK || percent <= 100, "GetMemoryLoad answers 0 to 100");
}

int hm_clr_check(IHostMemoryManager *manager,
                 void (*tell)(void *context, const char *clause),
                 void *context)
{
    checking c = {manager, tell, context, 0};
    expect(&c, manager != NULL, "there is a manager");
    if (manager) {
        check_malloc(&c);
        check_pages(&c);
        check_load(&c);
    }
    return c.faults;
}
