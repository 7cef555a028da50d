/* SPDX-License-Identifier: MIT */
/* MAPI's memory as a bridge: whose memory it is, when that may change, and what it survives. */
#define COBJMACROS
#define HM_MAPI_SITES
#include <hostmalloc/bridges/mapi.h>
#include <hostmalloc/bridges/ole.h>

#include "check.h"

#include <hostmalloc/debug.h>
#include <hostmalloc/hostmalloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_malloc.h"
#include "memory_internal.h"

static int teardown(void **state)
{
    (void)state;
    unsetenv("HOSTMALLOC");
    hm__memory_fail_from(0);
    assert_int_equal(hm_mapi_close(NULL, NULL), HM_OK);
    return 0;
}

static void choose(const char *spec)
{
    hm_host *host;
    assert_int_equal(hm_host_open(spec, &host, NULL), HM_OK);
    assert_int_equal(hm_mapi_set_host(host, NULL), HM_OK);
    hm_host_release(host);
}

static void *root_of(ULONG bytes)
{
    void *root = NULL;
    assert_int_equal(MAPIAllocateBuffer(bytes, &root), S_OK);
    assert_non_null(root);
    return root;
}

static void *more_of(ULONG bytes, void *root)
{
    void *more = NULL;
    assert_int_equal(MAPIAllocateMore(bytes, root, &more), S_OK);
    assert_non_null(more);
    return more;
}

static void mapi__nobody_chose(void **state)
{
    const hm_site *first = NULL;
    hm_host *host;
    hm_error err;
    (void)state;
    assert_int_equal(hm_mapi_verify(&first, &err), HM_E_NOT_FOUND);
    assert_null(first);
    assert_null(hm_mapi_malloc());
    void *root = root_of(8);
    assert_int_equal(hm_mapi_verify(&first, &err), HM_E_STARTED);
    assert_non_null(strstr(first->file, "test_mapi.c"));
    assert_int_equal(hm_host_open("debug", &host, NULL), HM_OK);
    assert_int_equal(hm_mapi_set_host(host, &err), HM_E_STARTED);
    assert_string_equal(err.where, "bridge:mapi");
    hm_host_release(host);
    assert_int_equal(MAPIFreeBuffer(root), S_OK);
}

static void mapi__bad_choices(void **state)
{
    hm_error err;
    (void)state;
    assert_int_equal(hm_mapi_set_host(NULL, &err), HM_E_INVALID);
    assert_int_equal(hm_mapi_set_malloc(NULL, &err), HM_E_INVALID);
    assert_int_equal(hm_mapi_verify(NULL, NULL), HM_E_NOT_FOUND);
}

static void mapi__before_the_first_call(void **state)
{
    char here[64];
    void *out = here;
    LPALLOCATEBUFFER allocate;
    LPALLOCATEMORE more;
    LPFREEBUFFER release;
    (void)state;
    assert_int_equal(MAPIFreeBuffer(NULL), S_OK);
    assert_int_equal(MAPIFreeBuffer(here), (ULONG)MAPI_E_INVALID_PARAMETER);
    assert_int_equal(MAPIAllocateMore(8, here, &out), MAPI_E_INVALID_PARAMETER);
    assert_null(out);
    out = here;
    assert_int_equal(MAPIReallocateBuffer(here, 8, &out), MAPI_E_INVALID_PARAMETER);
    assert_ptr_equal(out, here);
    FreeProws((SRowSet *)(void *)here);
    assert_int_equal(hm_mapi_routines(&allocate, &more, &release),
                     MAPI_E_NOT_INITIALIZED);
    assert_null(allocate);
    assert_null(more);
    assert_null(release);
    MAPIUninitialize();
    assert_null(hm_mapi_malloc());
}

static void mapi__is_initialised_by_count(void **state)
{
    LPALLOCATEBUFFER allocate;
    LPALLOCATEMORE more;
    LPFREEBUFFER release;
    hm_error err;
    (void)state;
    assert_int_equal(MAPIInitialize(NULL), S_OK);
    assert_int_equal(MAPIInitialize(NULL), S_OK);
    MAPIUninitialize();
    assert_int_equal(hm_mapi_routines(&allocate, &more, &release), S_OK);
    assert_int_equal(hm_mapi_routines(&allocate, NULL, &release),
                     MAPI_E_INVALID_PARAMETER);
    assert_null(allocate);
    assert_null(release);
    assert_int_equal(hm_mapi_close(NULL, &err), HM_E_STARTED);
    MAPIUninitialize();
    assert_int_equal(hm_mapi_routines(&allocate, &more, &release),
                     MAPI_E_NOT_INITIALIZED);
    MAPIUninitialize();
    assert_int_equal(MAPIInitialize(NULL), S_OK);
    MAPIUninitialize();
}

/* What the functions can say is a code; the reason goes to standard error, once. */
static void mapi__environment_is_wrong(void **state)
{
    void *out = &out;
    (void)state;
    setenv("HOSTMALLOC", "defualt", 1);
    const int saved = dup(2);
    assert_non_null(freopen("/dev/null", "w", stderr));
    const SCODE status = MAPIAllocateBuffer(8, &out);
    const HRESULT init = MAPIInitialize(NULL);
    IMalloc *m = MAPIGetDefaultMalloc();
    dup2(saved, 2);
    close(saved);
    assert_int_equal(status, MAPI_E_NOT_ENOUGH_MEMORY);
    assert_null(out);
    assert_int_equal(init, MAPI_E_NOT_ENOUGH_RESOURCES);
    assert_null(m);
    unsetenv("HOSTMALLOC");
    assert_int_equal(MAPIFreeBuffer(root_of(8)), S_OK);
}

static void mapi__close_waits_for_blocks(void **state)
{
    hm_leaks leaks = {.size = sizeof leaks};
    hm_error err;
    (void)state;
    void *root = root_of(10);
    (void)more_of(20, root);
    assert_int_equal(hm_mapi_close(&leaks, &err), HM_E_STARTED);
    assert_int_equal(leaks.blocks, 2);
    assert_int_equal(leaks.bytes, 30);
    assert_int_equal(MAPIFreeBuffer(root), S_OK);
    assert_int_equal(hm_mapi_close(&leaks, &err), HM_OK);
    assert_null(hm_mapi_malloc());
    assert_int_equal(MAPIFreeBuffer(root), (ULONG)MAPI_E_INVALID_PARAMETER);
}

static void mapi__sites_reach_the_debug_host(void **state)
{
    hm_block seen;
    void *moved;
    (void)state;
    choose("debug");
    void *root = root_of(8);
    assert_int_equal(hm_describe(hm_mapi_malloc(), root, &seen), HM_OK);
    assert_non_null(strstr(seen.site->file, "test_mapi.c"));
    assert_int_equal(seen.requested, 8);
    void *linked = NULL;
    /* In parentheses the name is the function, as a routine is. */
    assert_int_equal((MAPIAllocateMore)(5, root, &linked), S_OK);
    assert_int_equal(hm_describe(hm_mapi_malloc(), linked, &seen), HM_OK);
    assert_string_equal(seen.site->file, "mapi:MAPIAllocateMore");
    assert_int_equal(seen.requested, 5);
    assert_int_equal(MAPIReallocateBuffer(root, 80, &moved), S_OK);
    assert_int_equal(hm_describe(hm_mapi_malloc(), moved, &seen), HM_OK);
    assert_int_equal(seen.requested, 80);
    IMalloc *m = MAPIGetDefaultMalloc();
    void *own = IMalloc_Alloc(m, 8);
    assert_int_equal(hm_describe(hm_mapi_malloc(), own, &seen), HM_OK);
    assert_string_equal(seen.site->file, "mapi:IMalloc");
    IMalloc_Free(m, own);
    assert_int_equal(MAPIFreeBuffer(moved), S_OK);
}

/* A buffer that was written past its end was the caller's all the same. */
static void mapi__damage_is_reported_and_freed(void **state)
{
    (void)state;
    choose("debug");
    char *root = root_of(8);
    char *linked = more_of(8, root);
    const int saved = dup(2);
    assert_non_null(freopen("/dev/null", "w", stderr));
    linked[8] = 1;
    const ULONG status = MAPIFreeBuffer(root);
    dup2(saved, 2);
    close(saved);
    assert_int_equal(status, S_OK);
}

static void mapi__reallocates(void **state)
{
    static const ULONG sizes[] = {0, 1, 16, 17, 100000, 3};
    (void)state;
    void *root = NULL;
    assert_int_equal(MAPIReallocateBuffer(NULL, 8, &root), S_OK);
    void *linked = more_of(8, root);
    memset(linked, 0x5a, 8);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        assert_int_equal(MAPIReallocateBuffer(root, sizes[i], &root), S_OK);
        memset(root, 1, sizes[i]);
        (void)more_of(8, root);
    }
    void *out = &out;
    assert_int_equal(MAPIReallocateBuffer(linked, 8, &out), MAPI_E_INVALID_PARAMETER);
    assert_int_equal(MAPIReallocateBuffer(root, 8, NULL), MAPI_E_INVALID_PARAMETER);
    assert_ptr_equal(out, &out);
    assert_int_equal(*(char *)linked, 0x5a);
    assert_int_equal(MAPIFreeBuffer(root), S_OK);
}

/* The two kinds of block do not mix. */
static void mapi__buffers_and_the_malloc(void **state)
{
    static const char *const specs[] = {"default", "debug"};
    (void)state;
    const int saved = dup(2);
    for (size_t i = 0; i < COUNT(specs); i++) {
        choose(specs[i]);
        IMalloc *m = MAPIGetDefaultMalloc();
        char *root = root_of(64);
        char *own = IMalloc_Alloc(m, 64);
        assert_non_null(freopen("/dev/null", "w", stderr));
        IMalloc_Free(m, root);
        assert_null(IMalloc_Realloc(m, root, 8));
        assert_null(IMalloc_Realloc(m, root, 0));
        IMalloc_Free(m, own + 16);
        assert_null(IMalloc_Realloc(m, own + 16, 8));
        assert_int_equal(IMalloc_GetSize(m, own + 16), HM_SIZE_UNKNOWN);
        assert_int_equal(IMalloc_GetSize(m, NULL), HM_SIZE_UNKNOWN);
        assert_int_equal(MAPIFreeBuffer(own), (ULONG)MAPI_E_INVALID_PARAMETER);
        dup2(saved, 2);
        assert_int_equal(IMalloc_GetSize(m, own), 64);
        own = IMalloc_Realloc(m, own, 300);
        assert_int_equal(IMalloc_GetSize(m, own), 300);
        IMalloc_Free(m, own);
        assert_int_equal(MAPIFreeBuffer(root), S_OK);
        assert_int_equal(hm_mapi_close(NULL, NULL), HM_OK);
    }
    close(saved);
}

/* Sets that say more rows than they have room for, rows that are no buffers. */
static void mapi__rows_that_lie(void **state)
{
    char here[64];
    (void)state;
    choose("default");
    SRowSet *rows = root_of((ULONG)CbNewSRowSet(2));
    memset(rows, 0, CbNewSRowSet(2));
    rows->cRows = 0xffffffffu;
    rows->aRow[0].lpProps = (SPropValue *)(void *)here;
    rows->aRow[1].lpProps = root_of(8);
    FreeProws(rows);
    rows = root_of((ULONG)CbNewSRowSet(2)); /* a row that is the set itself */
    memset(rows, 0, CbNewSRowSet(2));
    rows->cRows = 2;
    rows->aRow[0].lpProps = (SPropValue *)(void *)rows;
    rows->aRow[1].lpProps = root_of(8);
    FreeProws(rows);
    rows = root_of(2);
    memset(rows, 0xff, 2);
    FreeProws(rows);
    void *root = root_of(8);
    SRowSet *linked = more_of((ULONG)CbNewSRowSet(1), root);
    linked->cRows = 1;
    linked->aRow[0].lpProps = root_of(8);
    FreeProws(linked);
    assert_int_equal(MAPIFreeBuffer(linked->aRow[0].lpProps), S_OK);
    assert_int_equal(MAPIFreeBuffer(root), S_OK);
}

static size_t findings;

static void note(void *context, const hm_debug_finding *finding)
{
    (void)context;
    findings += finding->status == HM_E_NOT_OWNED || finding->status == HM_E_FREED;
}

/* A checking host has its say about what is no buffer, and nothing else happens. */
static void mapi__strangers_are_reported(void **state)
{
    static char here[64];
    (void)state;
    choose("debug");
    char *root = root_of(64);
    void *gone = root_of(64);
    assert_int_equal(MAPIFreeBuffer(gone), S_OK);
    hm_debug *debug = hm_debug_of_malloc(hm_mapi_malloc());
    assert_int_equal(HM_OK, hm_debug_on_finding(debug, note, NULL));
    void *const strangers[] = {gone, here, root + 16};
    const int saved = dup(2);
    assert_non_null(freopen("/dev/null", "w", stderr));
    for (size_t i = 0; i < COUNT(strangers); i++) {
        findings = 0;
        const ULONG answer = MAPIFreeBuffer(strangers[i]);
        dup2(findings == 1 ? 2 : saved, 2);
        assert_int_equal(answer, (ULONG)MAPI_E_INVALID_PARAMETER);
        assert_int_equal(findings, 1);
    }
    dup2(saved, 2);
    close(saved);
    assert_int_equal(HM_OK, hm_debug_on_finding(debug, NULL, NULL));
    assert_int_equal(MAPIFreeBuffer(root), S_OK);
}

static uint32_t stop; /* atomic */

static void *keep_busy(void *context)
{
    (void)context;
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        void *root = NULL;
        void *linked = NULL;
        MAPIAllocateBuffer(64, &root);
        for (ULONG i = 0; i < 50; i++) {
            MAPIAllocateMore(i, root, &linked);
        }
        MAPIReallocateBuffer(root, 4000, &root);
        MAPIFreeBuffer(root);
    }
    return NULL;
}

static int child_goes_on(void *shared)
{
    void *linked = NULL;
    void *root = NULL;
    int good = MAPIAllocateMore(8, shared, &linked) == S_OK;
    good &= MAPIAllocateBuffer(8, &root) == S_OK;
    good &= MAPIReallocateBuffer(root, 800, &root) == S_OK;
    good &= MAPIFreeBuffer(shared) == S_OK;
    return good && MAPIFreeBuffer(root) == S_OK &&
           MAPIFreeBuffer(root) == (ULONG)MAPI_E_INVALID_PARAMETER;
}

static void forks(void)
{
    pthread_t threads[3];
    void *shared = root_of(40);
    __atomic_store_n(&stop, 0, __ATOMIC_RELEASE);
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, keep_busy, NULL), 0);
    }
    for (int round = 0; round < 8; round++) {
        int outcome = 1;
        const pid_t child = fork();
        if (child == 0) {
            alarm(60);
            _exit(child_goes_on(shared) ? 0 : 1);
        }
        assert_true(child > 0);
        assert_int_equal(waitpid(child, &outcome, 0), child);
        assert_int_equal(outcome, 0);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(MAPIFreeBuffer(shared), S_OK);
}

static void mapi__the_child_of_a_fork_goes_on(void **state)
{
    (void)state;
    choose("default");
    forks();
    assert_int_equal(hm_mapi_close(NULL, NULL), HM_OK);
    choose("debug");
    forks();
}

/* A malloc that needs help to know its blocks, for MAPI and for task memory: a fork takes its lock once. */
static void mapi__shares_its_malloc_across_a_fork(void **state)
{
    fake_malloc fake;
    (void)state;
    fake_malloc_init(&fake, 0);
    assert_int_equal(HM_OK, hm_mapi_set_malloc(&fake.base, NULL));
    void *first = root_of(8);
    assert_int_equal(HM_OK, hm_ole_set_malloc(hm_mapi_malloc(), NULL));
    hm_ole_free(hm_ole_alloc(8));
    forks();
    assert_int_equal(MAPIFreeBuffer(first), S_OK);
    assert_int_equal(HM_OK, hm_ole_close(NULL, NULL));
    assert_int_equal(HM_OK, hm_mapi_close(NULL, NULL));
    fake_malloc_fini(&fake);
}

/* A scenario that uses everything, told which request to refuse; the answer is whether none was. */
static int scenario(fake_malloc *fake)
{
    void *root = NULL;
    void *linked = NULL;
    char texts[] = "text";
    LPSTR pair[] = {texts, texts};
    SPropValue copy;
    SPropValue from;
    memset(&from, 0, sizeof from);
    from.ulPropTag = PT_MV_STRING8;
    from.Value.MVszA.cValues = 2;
    from.Value.MVszA.lppszA = pair;
    int whole = hm_mapi_set_malloc(&fake->base, NULL) == HM_OK;
    IMalloc *m = whole ? MAPIGetDefaultMalloc() : NULL;
    whole = whole && m;
    if (!whole) {
        return 0;
    }
    whole = MAPIAllocateBuffer(100, &root) == S_OK;
    assert_true(whole == (root != NULL));
    for (int i = 0; root && i < 100; i++) {
        const SCODE status = MAPIAllocateMore(10, root, &linked);
        assert_true(status == (linked ? S_OK : MAPI_E_NOT_ENOUGH_MEMORY));
        whole = whole && linked;
    }
    if (root) {
        void *moved = root;
        const SCODE status = MAPIReallocateBuffer(root, 1000, &moved);
        assert_true((status == S_OK) == (moved != root));
        root = moved;
        whole = status == S_OK && whole;
        memset(&copy, 0xff, sizeof copy);
        whole = PropCopyMore(&copy, &from, MAPIAllocateMore, root) == S_OK && whole;
    }
    void *own = IMalloc_Alloc(m, 8);
    whole = whole && own;
    IMalloc_Free(m, own);
    assert_int_equal(MAPIFreeBuffer(root), S_OK);
    return whole;
}

static void mapi__out_of_memory_at_every_step(void **state)
{
    (void)state;
    for (int private_memory = 0; private_memory < 2; private_memory++) {
        int whole = 0;
        uint64_t n = 0;
        while (!whole) {
            fake_malloc fake;
            fake_malloc_init(&fake, HM_MALLOC_THREADSAFE);
            n++;
            if (private_memory) {
                hm__memory_fail_from(n);
            } else {
                fake.fail_from = n;
            }
            whole = scenario(&fake);
            hm__memory_fail_from(0);
            fake.fail_from = 0;
            assert_int_equal(fake.live, 0);
            assert_int_equal(hm_mapi_close(NULL, NULL), HM_OK);
            assert_int_equal(fake.references, 1);
            fake_malloc_fini(&fake);
            assert_true(n < 300);
        }
        assert_true(n > 5);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_teardown(name, teardown)
    const struct CMUnitTest tests[] = {
        CASE(mapi__nobody_chose),
        CASE(mapi__bad_choices),
        CASE(mapi__before_the_first_call),
        CASE(mapi__is_initialised_by_count),
        CASE(mapi__environment_is_wrong),
        CASE(mapi__close_waits_for_blocks),
        CASE(mapi__sites_reach_the_debug_host),
        CASE(mapi__damage_is_reported_and_freed),
        CASE(mapi__reallocates),
        CASE(mapi__buffers_and_the_malloc),
        CASE(mapi__rows_that_lie),
        CASE(mapi__strangers_are_reported),
        CASE(mapi__the_child_of_a_fork_goes_on),
        CASE(mapi__shares_its_malloc_across_a_fork),
        CASE(mapi__out_of_memory_at_every_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
