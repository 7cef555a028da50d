/* SPDX-License-Identifier: MIT */
/* The CLR bridge both ways under eight threads, across forks, and after main. */
#define COBJMACROS
#include <hostmalloc/bridges/clr.h>

#include "check.h"

#include <hostmalloc/hostmalloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fork_amid.h"

#define THREADS 8
#define FORKS   6

static IHostMemoryManager *manager(const char *spec)
{
    IHostControl *control;
    void *object = NULL;
    hm_host *host;
    assert_int_equal(hm_host_open(spec, &host, NULL), HM_OK);
    assert_int_equal(hm_clr_control_create(host, &control, NULL), HM_OK);
    hm_host_release(host);
    assert_int_equal(
        IHostControl_GetHostManager(control, &IID_IHostMemoryManager, &object), S_OK);
    assert_int_equal(IHostControl_Release(control), 1);
    return object;
}

static IHostMalloc *create(IHostMemoryManager *m, DWORD type)
{
    IHostMalloc *object = NULL;
    assert_int_equal(IHostMemoryManager_CreateMalloc(m, type, &object), S_OK);
    assert_non_null(object);
    return object;
}

/* A callback that is only counted. */
typedef struct counted {
    ICLRMemoryNotificationCallback base;
    int references; /* atomic */
} counted;

static HRESULT
counted_query(ICLRMemoryNotificationCallback *self, REFIID riid, void **object)
{
    (void)self, (void)riid;
    *object = NULL;
    return E_NOINTERFACE;
}

static ULONG counted_add_ref(ICLRMemoryNotificationCallback *self)
{
    return (ULONG)__atomic_add_fetch(&((counted *)self)->references, 1, __ATOMIC_ACQ_REL);
}

static ULONG counted_release(ICLRMemoryNotificationCallback *self)
{
    return (ULONG)__atomic_sub_fetch(&((counted *)self)->references, 1, __ATOMIC_ACQ_REL);
}

static HRESULT counted_told(ICLRMemoryNotificationCallback *self, EMemoryAvailable how)
{
    (void)self, (void)how;
    return S_OK;
}

static const ICLRMemoryNotificationCallbackVtbl counted_vtbl = {
    counted_query, counted_add_ref, counted_release, counted_told};

typedef struct worker {
    IHostMemoryManager *m;
    IHostMalloc *object;
    hm_malloc *back; /* the other way, where that is what is tested */
    unsigned seed;
    int failures;
    const uint32_t *stop; /* atomic; of those that go back */
} worker;

static void use_blocks(worker *w, void **at, int step)
{
    const SIZE_T bytes = w->seed >> 16 & 511;
    char file[] = "churn.c";
    w->failures += IHostMalloc_Free(w->object, *at) != S_OK;
    w->failures += (w->seed & 64 ? IHostMalloc_Alloc(w->object, bytes, eTaskCritical, at)
                                 : IHostMalloc_DebugAlloc(w->object, bytes, eTaskCritical,
                                                          file, step & 7, at)) != S_OK;
    if (*at) {
        memset(*at, step, bytes);
    }
}

static void use_pages(worker *w)
{
    void *pages = NULL;
    MEMORY_BASIC_INFORMATION seen;
    SIZE_T written;
    w->failures +=
        IHostMemoryManager_VirtualAlloc(w->m, NULL, 4096, MEM_COMMIT, PAGE_READWRITE,
                                        eTaskCritical, &pages) != S_OK;
    w->failures += IHostMemoryManager_VirtualQuery(w->m, pages, &seen, sizeof seen,
                                                   &written) != S_OK;
    w->failures += IHostMemoryManager_VirtualFree(w->m, pages, 0, MEM_RELEASE) != S_OK;
}

/* Another thread may take the callback out, and then has to be waited for. */
static void use_callback(worker *w)
{
    counted c = {{&counted_vtbl}, 1};
    IHostMemoryManager_RegisterMemoryNotificationCallback(w->m, &c.base);
    IHostMemoryManager_RegisterMemoryNotificationCallback(w->m, NULL);
    while (__atomic_load_n(&c.references, __ATOMIC_ACQUIRE) != 1) {
        usleep(100);
    }
}

static void *churn(void *context)
{
    worker *w = context;
    void *blocks[32] = {NULL};
    for (int i = 0; i < 4000; i++) {
        w->seed = w->seed * 1664525u + 1013904223u;
        use_blocks(w, &blocks[w->seed >> 8 & 31], i);
        if (i % 500 == 0) {
            use_pages(w);
        }
        if (i % 1000 == 0) {
            use_callback(w);
        }
    }
    for (size_t i = 0; i < COUNT(blocks); i++) {
        w->failures += IHostMalloc_Free(w->object, blocks[i]) != S_OK;
    }
    return NULL;
}

static int count_one(void *context, const hm_block *block)
{
    (void)block;
    (*(size_t *)context)++;
    return 0;
}

static void clr_threads__blocks_pages_and_callbacks(void **state)
{
    static const char *const specs[] = {"default", "debug:report=/dev/null"};
    (void)state;
    for (size_t i = 0; i < COUNT(specs); i++) {
        IHostMemoryManager *m = manager(specs[i]);
        IHostMalloc *object = create(m, MALLOC_THREADSAFE);
        pthread_t threads[THREADS];
        worker all[THREADS];
        size_t live = 0;
        for (unsigned t = 0; t < THREADS; t++) {
            all[t] = (worker){m, object, NULL, t + 1, 0, NULL};
            assert_int_equal(pthread_create(&threads[t], NULL, churn, &all[t]), 0);
        }
        for (unsigned t = 0; t < THREADS; t++) {
            pthread_join(threads[t], NULL);
            assert_int_equal(all[t].failures, 0);
        }
        assert_int_equal(hm_walk(hm_clr_malloc(object), count_one, &live), HM_OK);
        assert_int_equal(live, 0);
        assert_int_equal(IHostMalloc_Release(object), 0);
        assert_int_equal(IHostMemoryManager_Release(m), 0);
    }
}

typedef struct forking {
    IHostMemoryManager *m;
    IHostMalloc *object;
    void *mine;
    uint32_t stop; /* atomic */
} forking;

/* Also takes the lock that a fork has to wait for. */
static void *keep_busy(void *context)
{
    forking *f = context;
    for (unsigned round = 0; !__atomic_load_n(&f->stop, __ATOMIC_ACQUIRE); round++) {
        void *blocks[64];
        hm_block seen;
        for (size_t i = 0; i < COUNT(blocks); i++) {
            IHostMalloc_Alloc(f->object, i * 100, eTaskCritical, &blocks[i]);
            hm_describe(hm_clr_malloc(f->object), blocks[i], &seen);
        }
        for (size_t i = 0; i < COUNT(blocks); i++) {
            IHostMalloc_Free(f->object, blocks[i]);
        }
        fork_may_come();
    }
    return NULL;
}

static int child_goes_on(const forking *f)
{
    void *block = NULL;
    hm_block seen;
    IHostMalloc *another = NULL;
    int good = IHostMalloc_Alloc(f->object, 9, eTaskCritical, &block) == S_OK;
    good &= hm_describe(hm_clr_malloc(f->object), block, &seen) == HM_OK;
    good &= seen.requested == 9;
    good &= IHostMalloc_Free(f->object, block) == S_OK;
    good &= IHostMalloc_Free(f->object, block) == HOST_E_INVALIDOPERATION;
    good &= IHostMalloc_Free(f->object, f->mine) == S_OK;
    good &= IHostMemoryManager_CreateMalloc(f->m, 1, &another) == S_OK;
    return good && IHostMalloc_Release(another) == 0;
}

/* 0 when all was well there. */
static int outcome_of(pid_t child)
{
    int outcome = 0;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &outcome, 0), child);
    return outcome;
}

static void clr_threads__the_child_of_a_fork_goes_on(void **state)
{
    static const DWORD types[] = {MALLOC_THREADSAFE, 0};
    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        IHostMemoryManager *m = manager("default");
        forking f = {m, create(m, types[i]), NULL, 0};
        pthread_t thread;
        assert_int_equal(IHostMalloc_Alloc(f.object, 40, eTaskCritical, &f.mine), S_OK);
        if (types[i]) {
            assert_int_equal(pthread_create(&thread, NULL, keep_busy, &f), 0);
        }
        for (int round = 0; round < FORKS; round++) {
            const pid_t child = fork_amid(types[i] ? 1 : 0);
            if (child == 0) {
                alarm(60);
                _exit(child_goes_on(&f) ? 0 : 1);
            }
            assert_int_equal(outcome_of(child), 0);
        }
        __atomic_store_n(&f.stop, 1, __ATOMIC_RELEASE);
        if (types[i]) {
            pthread_join(thread, NULL);
        }
        assert_int_equal(IHostMalloc_Free(f.object, f.mine), S_OK);
        IHostMalloc_Release(f.object);
        IHostMemoryManager_Release(m);
    }
}

/* What a runtime keeps for good is still used by what runs after main, and leaves in no particular order. */
static IHostMalloc *kept;
static void *kept_block;

static void at_the_end(void)
{
    void *block = NULL;
    if (IHostMalloc_Free(kept, kept_block) != S_OK ||
        IHostMalloc_Alloc(kept, 10, eTaskCritical, &block) != S_OK ||
        IHostMalloc_Free(kept, block) != S_OK) {
        _exit(3);
    }
    IHostMalloc_Release(kept);
}

static void clr_threads__mallocs_work_until_the_end(void **state)
{
    (void)state;
    const pid_t child = fork();
    if (child == 0) {
        atexit(at_the_end);
        IHostMemoryManager *m = manager("debug:report=/dev/null");
        kept = create(m, MALLOC_THREADSAFE);
        IHostMalloc_Alloc(kept, 100, eTaskCritical, &kept_block);
        IHostMemoryManager_Release(m);
        exit(0);
    }
    assert_int_equal(outcome_of(child), 0);
}

/* Presented to a runtime, and taken for a stranger's. */
static hm_host *there_and_back(const char *spec)
{
    hm_host *back = NULL;
    IHostMemoryManager *m = manager(spec);
    assert_int_equal(hm_clr_host_create(m, "back", &back, NULL), HM_OK);
    IHostMemoryManager_Release(m);
    return back;
}

static void *churn_back(void *context)
{
    worker *w = context;
    void *blocks[32] = {NULL};
    for (int i = 0; i < 3000 || !__atomic_load_n(w->stop, __ATOMIC_ACQUIRE); i++) {
        fork_may_come();
        w->seed = w->seed * 1664525u + 1013904223u;
        void **at = &blocks[w->seed >> 8 & 31];
        const size_t bytes = w->seed >> 16 & 511;
        if (*at && w->seed & 32) {
            *at = hm_realloc(w->back, *at, bytes);
        } else {
            w->failures += hm_free(w->back, *at) != HM_OK;
            *at = hm_alloc(w->back, bytes);
        }
        w->failures += !*at;
        if (*at) {
            memset(*at, i, bytes);
        }
    }
    for (size_t i = 0; i < COUNT(blocks); i++) {
        w->failures += hm_free(w->back, blocks[i]) != HM_OK;
    }
    return NULL;
}

static size_t hear(void *context, hm_pressure pressure)
{
    (void)context, (void)pressure;
    return 0;
}

static int child_goes_on_back(hm_host *host, hm_malloc *m)
{
    hm_malloc *another;
    void *p = hm_alloc(m, 10);
    int good = p && hm_free(m, p) == HM_OK && hm_free(m, p) == HM_E_FREED;
    good &= hm_host_unsubscribe(host, hear, NULL) == HM_OK;
    good &= hm_host_subscribe(host, hear, NULL) == HM_OK;
    return good && hm_host_create_malloc(host, "child", 0, &another, NULL) == HM_OK;
}

static void clr_threads__the_way_back(void **state)
{
    hm_host *back = there_and_back("default");
    hm_malloc *m;
    pthread_t threads[THREADS];
    worker all[THREADS];
    hm_stats stats;
    uint32_t stop = 0;
    (void)state;
    assert_int_equal(hm_host_create_malloc(
                         back, "back", HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT, &m, NULL),
                     HM_OK);
    for (unsigned t = 0; t < THREADS; t++) {
        all[t] = (worker){NULL, NULL, m, t + 1, 0, &stop};
        assert_int_equal(pthread_create(&threads[t], NULL, churn_back, &all[t]), 0);
    }
    assert_int_equal(hm_host_subscribe(back, hear, NULL), HM_OK);
    for (int round = 0; round < FORKS; round++) {
        const pid_t child = fork_amid(THREADS);
        if (child == 0) {
            alarm(60);
            _exit(child_goes_on_back(back, m) ? 0 : 1);
        }
        assert_int_equal(outcome_of(child), 0);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (unsigned t = 0; t < THREADS; t++) {
        pthread_join(threads[t], NULL);
        assert_int_equal(all[t].failures, 0);
    }
    assert_int_equal(hm_host_unsubscribe(back, hear, NULL), HM_OK);
    assert_int_equal(hm_malloc_stats(m, &stats), HM_OK);
    assert_int_equal(stats.live_blocks, 0);
    hm_malloc_release(m);
    hm_host_release(back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clr_threads__blocks_pages_and_callbacks),
        cmocka_unit_test(clr_threads__the_child_of_a_fork_goes_on),
        cmocka_unit_test(clr_threads__mallocs_work_until_the_end),
        cmocka_unit_test(clr_threads__the_way_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
