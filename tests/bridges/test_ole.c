/* SPDX-License-Identifier: MIT */
/* Task memory as a bridge: whose memory it is, when that may change, and what it survives. */
#define COBJMACROS
#define HM_OLE_SITES
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
#include "fork_amid.h"
#include "memory_internal.h"

static int teardown(void **state)
{
    (void)state;
    unsetenv("HOSTMALLOC");
    hm__memory_fail_from(0);
    assert_int_equal(hm_ole_close(NULL, NULL), HM_OK);
    return 0;
}

static hm_host *open_host(const char *spec)
{
    hm_host *host;
    assert_int_equal(hm_host_open(spec, &host, NULL), HM_OK);
    return host;
}

static void ole__nobody_chose(void **state)
{
    const hm_site *first = NULL;
    hm_error err;
    (void)state;
    assert_int_equal(hm_ole_verify(&first, &err), HM_E_NOT_FOUND);
    assert_null(first);
    assert_null(hm_ole_malloc());
    void *p = CoTaskMemAlloc(8);
    assert_int_equal(hm_ole_verify(&first, &err), HM_E_STARTED);
    assert_non_null(strstr(first->file, "test_ole.c"));
    assert_non_null(strstr(err.what, "test_ole.c"));
    assert_non_null(hm_ole_malloc());
    hm_host *host = open_host("debug");
    assert_int_equal(hm_ole_set_host(host, &err), HM_E_STARTED);
    assert_string_equal(err.where, "bridge:ole");
    assert_non_null(strstr(err.what, "test_ole.c"));
    CoTaskMemFree(p);
    hm_host_release(host);
}

static void ole__the_last_choice_holds(void **state)
{
    const hm_site *first = (const hm_site *)(uintptr_t)1;
    hm_host *debug = open_host("debug");
    hm_host *plain = open_host("default");
    (void)state;
    assert_int_equal(hm_ole_set_host(debug, NULL), HM_OK);
    assert_int_equal(hm_ole_set_host(plain, NULL), HM_OK);
    assert_int_equal(hm_ole_set_host(debug, NULL), HM_OK);
    hm_host_release(plain);
    hm_host_release(debug);
    assert_int_equal(hm_ole_verify(&first, NULL), HM_OK);
    assert_null(first);
    CoTaskMemFree(CoTaskMemAlloc(8));
    assert_non_null(hm_debug_of_malloc(hm_ole_malloc()));
    assert_int_equal(hm_ole_verify(&first, NULL), HM_OK);
    assert_non_null(first);
}

static void ole__bad_choices(void **state)
{
    hm_error err;
    hm_malloc *m;
    hm_host broken = {NULL};
    hm_host *host = open_host("default");
    (void)state;
    assert_int_equal(hm_ole_set_host(NULL, &err), HM_E_INVALID);
    assert_int_equal(hm_ole_set_malloc(NULL, &err), HM_E_INVALID);
    assert_int_equal(hm_ole_set_host(&broken, &err), HM_E_INVALID);
    assert_int_equal(hm_host_create_malloc(host, "one", HM_MALLOC_ONE_THREAD, &m, NULL),
                     HM_OK);
    assert_int_equal(hm_ole_set_malloc(m, &err), HM_E_INVALID);
    assert_non_null(strstr(err.what, "thread"));
    hm_malloc_release(m);
    hm_host_release(host);
    assert_int_equal(hm_ole_verify(NULL, NULL), HM_E_NOT_FOUND);
}

static void ole__a_malloc_of_any_kind(void **state)
{
    static const uint32_t flags[] = {0, HM_MALLOC_THREADSAFE, HM_MALLOC_EXACT,
                                     HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT};
    hm_host *host = open_host("default");
    IMalloc *task;
    (void)state;
    for (size_t i = 0; i < COUNT(flags); i++) {
        hm_malloc *m;
        assert_int_equal(hm_host_create_malloc(host, "own", flags[i], &m, NULL), HM_OK);
        assert_int_equal(hm_ole_set_malloc(m, NULL), HM_OK);
        hm_malloc_release(m);
        assert_int_equal(CoGetMalloc(MEMCTX_TASK, &task), S_OK);
        char *p = CoTaskMemAlloc(27);
        assert_int_equal(IMalloc_GetSize(task, p), 27);
        assert_int_equal(IMalloc_DidAlloc(task, p), 1);
        assert_int_equal(IMalloc_DidAlloc(task, p + 4), 0);
        CoTaskMemFree(p);
        assert_int_equal(hm_ole_close(NULL, NULL), HM_OK);
    }
    hm_host_release(host);
}

static void ole__environment_names_the_host(void **state)
{
    (void)state;
    setenv("HOSTMALLOC", "debug", 1);
    CoTaskMemFree(CoTaskMemAlloc(8));
    assert_non_null(hm_debug_of_malloc(hm_ole_malloc()));
}

/* What CoTaskMemAlloc can say is NULL; the reason goes to standard error, once. */
static void ole__environment_is_wrong(void **state)
{
    char text[512] = "";
    int pipes[2];
    IMalloc *task = NULL;
    (void)state;
    setenv("HOSTMALLOC", "defualt", 1);
    assert_int_equal(pipe(pipes), 0);
    fflush(stderr);
    const int saved = dup(2);
    dup2(pipes[1], 2);
    void *p = CoTaskMemAlloc(8);
    void *q = CoTaskMemRealloc(NULL, 8);
    const HRESULT got = CoGetMalloc(MEMCTX_TASK, &task);
    dup2(saved, 2);
    close(saved);
    close(pipes[1]);
    assert_true(read(pipes[0], text, sizeof text - 1) > 0);
    close(pipes[0]);
    assert_null(p);
    assert_null(q);
    assert_int_equal(got, E_OUTOFMEMORY);
    assert_null(task);
    assert_non_null(strstr(text, "defualt"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    unsetenv("HOSTMALLOC");
    p = CoTaskMemAlloc(8);
    assert_non_null(p);
    CoTaskMemFree(p);
}

static void ole__close_waits_for_blocks(void **state)
{
    hm_leaks leaks = {.size = sizeof leaks};
    hm_error err;
    (void)state;
    void *p = CoTaskMemAlloc(10);
    void *q = CoTaskMemAlloc(20);
    assert_int_equal(hm_ole_close(&leaks, &err), HM_E_STARTED);
    assert_non_null(strstr(err.what, "2 blocks"));
    assert_int_equal(leaks.blocks, 2);
    assert_int_equal(leaks.bytes, 30);
    CoTaskMemFree(p);
    CoTaskMemFree(q);
    assert_int_equal(hm_ole_close(&leaks, &err), HM_OK);
    assert_int_equal(leaks.blocks, 0);
    assert_null(hm_ole_malloc());
}

static hm_spy passing;

static void spy_on(void)
{
    IMallocSpy *spy;
    passing.vtbl = hm_spy_forward();
    assert_int_equal(hm_ole_spy_object(&passing, &spy), S_OK);
    assert_int_equal(CoRegisterMallocSpy(spy), S_OK);
    IMallocSpy_Release(spy);
}

static void ole__close_waits_for_the_spy(void **state)
{
    hm_error err;
    (void)state;
    spy_on();
    assert_int_equal(hm_ole_close(NULL, &err), HM_E_STARTED);
    assert_int_equal(CoRevokeMallocSpy(), S_OK);
}

static void ole__before_the_first_call(void **state)
{
    char here[16];
    (void)state;
    CoTaskMemFree(NULL);
    CoTaskMemFree(here);
    assert_null(hm_ole_malloc());
    assert_int_equal(CoRevokeMallocSpy(), CO_E_OBJNOTREG);
    assert_int_equal(CoRegisterMallocSpy(NULL), E_INVALIDARG);
    assert_null(hm_ole_malloc());
}

static void ole__sites_reach_the_debug_host(void **state)
{
    hm_block seen;
    hm_host *host = open_host("debug");
    IMalloc *task;
    (void)state;
    assert_int_equal(hm_ole_set_host(host, NULL), HM_OK);
    hm_host_release(host);
    void *p = CoTaskMemAlloc(8);
    assert_int_equal(hm_describe(hm_ole_malloc(), p, &seen), HM_OK);
    assert_non_null(strstr(seen.site->file, "test_ole.c"));
    CoTaskMemFree(p);
    assert_int_equal(CoGetMalloc(MEMCTX_TASK, &task), S_OK);
    p = IMalloc_Alloc(task, 8);
    assert_int_equal(hm_describe(hm_ole_malloc(), p, &seen), HM_OK);
    assert_string_equal(seen.site->file, "ole:IMalloc");
    CoTaskMemFree(p);
    p = hm_ole_alloc(8);
    assert_int_equal(hm_describe(hm_ole_malloc(), p, &seen), HM_OK);
    assert_string_equal(seen.site->file, "ole:CoTaskMemAlloc");
    CoTaskMemFree(p);
}

/* Pointers that are no blocks, with and without a spy, on hosts that check and hosts that do not. */
static void try_strangers(IMalloc *task)
{
    char here[64];
    char *p = hm_ole_alloc(64);
    char *gone = hm_ole_alloc(64);
    hm_ole_free(gone);
    void *const strangers[] = {here,
                               p + 4,
                               p + 16,
                               gone,
                               (void *)(uintptr_t)1,
                               (void *)(UINTPTR_MAX & ~(uintptr_t)15)};
    for (size_t i = 0; i < COUNT(strangers); i++) {
        void *s = strangers[i];
        assert_int_equal(IMalloc_DidAlloc(task, s), 0);
        assert_int_equal(IMalloc_GetSize(task, s), HM_SIZE_UNKNOWN);
        assert_null(IMalloc_Realloc(task, s, 8));
        assert_null(IMalloc_Realloc(task, s, 0));
        IMalloc_Free(task, s);
        CoTaskMemFree(s);
        assert_int_equal(IMalloc_GetSize(task, p), 64);
    }
    CoTaskMemFree(p);
}

static void ole__strangers(void **state)
{
    static const char *const specs[] = {"default", "debug"};
    IMalloc *task;
    (void)state;
    const int saved = dup(2);
    for (size_t i = 0; i < COUNT(specs); i++) {
        hm_host *host = open_host(specs[i]);
        assert_int_equal(hm_ole_set_host(host, NULL), HM_OK);
        hm_host_release(host);
        assert_int_equal(CoGetMalloc(MEMCTX_TASK, &task), S_OK);
        /* The debug host has much to say. */
        assert_non_null(freopen("/dev/null", "w", stderr));
        try_strangers(task);
        spy_on();
        try_strangers(task);
        dup2(saved, 2);
        assert_int_equal(CoRevokeMallocSpy(), S_OK);
        assert_int_equal(hm_ole_close(NULL, NULL), HM_OK);
    }
    close(saved);
}

/* A scenario that uses everything, told which request to refuse; the answer is whether none was. */
static int scenario(fake_malloc *fake)
{
    IMallocSpy *object = NULL;
    IMalloc *task = NULL;
    hm_spy *guard = NULL;
    int whole = hm_ole_set_malloc(&fake->base, NULL) == HM_OK;
    void *blocks[4] = {NULL};
    whole = whole && CoGetMalloc(MEMCTX_TASK, &task) == S_OK;
    if (whole) {
        blocks[0] = IMalloc_Alloc(task, 8);
        whole = hm_spy_guard_create(NULL, NULL, &guard) == HM_OK && whole;
        whole = hm_ole_spy_object(guard, &object) == S_OK && whole;
    }
    const int spies = object && CoRegisterMallocSpy(object) == S_OK;
    if (task) {
        blocks[1] = IMalloc_Alloc(task, 100);
        blocks[2] = CoTaskMemRealloc(NULL, 10);
        void *moved = CoTaskMemRealloc(blocks[2], 1000);
        whole = whole && moved;
        blocks[2] = moved ? moved : blocks[2];
        moved = CoTaskMemRealloc(blocks[0], 1000);
        whole = whole && moved;
        blocks[0] = moved ? moved : blocks[0];
        blocks[3] = IMalloc_Alloc(task, 5000);
        for (size_t i = 0; i < COUNT(blocks); i++) {
            whole = whole && blocks[i];
            IMalloc_Free(task, blocks[i]);
        }
    }
    if (spies) {
        assert_int_equal(CoRevokeMallocSpy(), S_OK);
    }
    if (object) {
        IMallocSpy_Release(object);
    }
    hm_spy_release(guard);
    return whole && spies;
}

static void ole__out_of_memory_at_every_step(void **state)
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
            assert_int_equal(hm_ole_close(NULL, NULL), HM_OK);
            assert_int_equal(fake.references, 1);
            fake_malloc_fini(&fake);
            assert_true(n < 100);
        }
        assert_true(n > 5);
    }
}

static void *churn(void *stop)
{
    unsigned seed = 1;
    IMalloc *task = NULL;
    (void)CoGetMalloc(MEMCTX_TASK, &task);
    while (!__atomic_load_n((int *)stop, __ATOMIC_ACQUIRE)) {
        seed = seed * 1664525u + 1013904223u;
        void *p = CoTaskMemAlloc(seed % 1000);
        (void)IMalloc_GetSize(task, p); /* takes the lock */
        CoTaskMemFree(p);
        fork_may_come();
    }
    return NULL;
}

static void ole__fork_beside_threads(void **state)
{
    pthread_t threads[2];
    int stop = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, churn, &stop), 0);
    }
    for (int i = 0; i < 20; i++) {
        int status = -1;
        const pid_t child = fork_amid(COUNT(threads));
        if (child == 0) {
            IMalloc *task;
            alarm(20);
            void *p = CoTaskMemAlloc(24);
            _exit(CoGetMalloc(MEMCTX_TASK, &task) == S_OK &&
                          IMalloc_GetSize(task, p) == 24
                      ? 0
                      : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_teardown(name, teardown)
    const struct CMUnitTest tests[] = {
        CASE(ole__nobody_chose),
        CASE(ole__the_last_choice_holds),
        CASE(ole__bad_choices),
        CASE(ole__a_malloc_of_any_kind),
        CASE(ole__environment_names_the_host),
        CASE(ole__environment_is_wrong),
        CASE(ole__close_waits_for_blocks),
        CASE(ole__close_waits_for_the_spy),
        CASE(ole__before_the_first_call),
        CASE(ole__sites_reach_the_debug_host),
        CASE(ole__strangers),
        CASE(ole__out_of_memory_at_every_step),
        CASE(ole__fork_beside_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
