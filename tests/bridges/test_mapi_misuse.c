/* SPDX-License-Identifier: MIT */
/* MAPI's memory as a bridge: what is damaged, lies, or belongs to somebody else. */
#include "mapi_check.h"

#include <hostmalloc/debug.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(mapi__damage_is_reported_and_freed), CASE(mapi__reallocates),
        CASE(mapi__buffers_and_the_malloc),       CASE(mapi__rows_that_lie),
        CASE(mapi__strangers_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
