/* SPDX-License-Identifier: MIT */
/* MAPI's memory as a bridge: whose memory it is, when that may change, and what it survives. */
#include "mapi_check.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fake_malloc.h"

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
    assert_non_null(strstr(first->file, "mapi_check.h"));
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
    assert_non_null(strstr(seen.site->file, "mapi_check.h"));
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
    const struct CMUnitTest tests[] = {
        CASE(mapi__nobody_chose),
        CASE(mapi__bad_choices),
        CASE(mapi__before_the_first_call),
        CASE(mapi__is_initialised_by_count),
        CASE(mapi__environment_is_wrong),
        CASE(mapi__close_waits_for_blocks),
        CASE(mapi__sites_reach_the_debug_host),
        CASE(mapi__out_of_memory_at_every_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
