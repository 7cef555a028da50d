/* SPDX-License-Identifier: MIT */
/* MAPI's memory as a bridge: the child of a fork goes on, whatever the other threads were doing. */
#include "mapi_check.h"

#include <hostmalloc/bridges/ole.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_malloc.h"
#include "fork_amid.h"

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
        fork_may_come();
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
        const pid_t child = fork_amid(COUNT(threads));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(mapi__the_child_of_a_fork_goes_on),
        CASE(mapi__shares_its_malloc_across_a_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
