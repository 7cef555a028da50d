/* SPDX-License-Identifier: MIT */
/* Deep copies of properties of every type, and of none. */
#include <hostmalloc/bridges/mapi.h>

#include "check.h"

#include <hostmalloc/hostmalloc.h>
#include <string.h>

#include "fake_malloc.h"

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(hm_mapi_close(NULL, NULL), HM_OK);
    return 0;
}

static void *root_of(ULONG size)
{
    void *root = NULL;
    assert_int_equal(MAPIAllocateBuffer(size, &root), S_OK);
    assert_non_null(root);
    return root;
}

/* One property of every type that has parts elsewhere. */
static char narrow[] = "text";
static WCHAR wide[] = {'t', 'e', 'x', 't', 0};
static BYTE bytes[] = {1, 2, 3};
static LPSTR narrows[] = {narrow, narrow};
static LPWSTR wides[] = {wide, wide};
static SBinary binaries[] = {{3, bytes}, {0, NULL}};
static int16_t shorts[] = {1, -2};
static LONG longs[] = {3, -4};
static double doubles[] = {5, -6};
static GUID guids[2];

static size_t parts_of(ULONG type)
{
    switch (PROP_TYPE(type)) {
    case PT_STRING8:
    case PT_UNICODE:
    case PT_BINARY:
    case PT_CLSID:
        return 1;
    default:
        return type & MV_FLAG ? 1 + (type == PT_MV_STRING8 || type == PT_MV_UNICODE ||
                                             type == PT_MV_BINARY
                                         ? 2
                                         : 0)
                              : 0;
    }
}

static SPropValue property(ULONG type)
{
    SPropValue value;
    memset(&value, 0, sizeof value);
    value.ulPropTag = PROP_TAG(type, 0x3001);
    value.Value.MVl.cValues = 2;
    switch (type) {
    case PT_STRING8:
        value.Value.lpszA = narrow;
        break;
    case PT_UNICODE:
        value.Value.lpszW = wide;
        break;
    case PT_CLSID:
        value.Value.lpguid = guids;
        break;
    case PT_BINARY:
        value.Value.bin = binaries[0];
        break;
    case PT_MV_STRING8:
        value.Value.MVszA.lppszA = narrows;
        break;
    case PT_MV_UNICODE:
        value.Value.MVszW.lppszW = wides;
        break;
    case PT_MV_BINARY:
        value.Value.MVbin.lpbin = binaries;
        break;
    case PT_MV_I2:
        value.Value.MVi.lpi = shorts;
        break;
    case PT_MV_LONG:
    case PT_MV_R4:
        value.Value.MVl.lpl = longs;
        break;
    case PT_MV_CLSID:
        value.Value.MVguid.lpguid = guids;
        break;
    case PT_MV_DOUBLE:
    case PT_MV_APPTIME:
    case PT_MV_CURRENCY:
    case PT_MV_SYSTIME:
    case PT_MV_I8:
        value.Value.MVdbl.lpdbl = doubles;
        break;
    default:
        value.Value.li.QuadPart = 0x123456789abc;
        break;
    }
    return value;
}

static const ULONG types[] = {
    PT_NULL,       PT_I2,         PT_LONG,        PT_R4,         PT_DOUBLE, PT_CURRENCY,
    PT_APPTIME,    PT_ERROR,      PT_BOOLEAN,     PT_OBJECT,     PT_I8,     PT_SYSTIME,
    PT_STRING8,    PT_UNICODE,    PT_BINARY,      PT_CLSID,      PT_MV_I2,  PT_MV_LONG,
    PT_MV_R4,      PT_MV_DOUBLE,  PT_MV_CURRENCY, PT_MV_APPTIME, PT_MV_I8,  PT_MV_CLSID,
    PT_MV_SYSTIME, PT_MV_STRING8, PT_MV_UNICODE,  PT_MV_BINARY};

static void mapi__copies_every_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        fake_malloc fake;
        SPropValue from = property(types[i]);
        fake_malloc_init(&fake, HM_MALLOC_THREADSAFE);
        assert_int_equal(hm_mapi_set_malloc(&fake.base, NULL), HM_OK);
        SPropValue *to = root_of(sizeof *to);
        assert_int_equal(PropCopyMore(to, &from, MAPIAllocateMore, to), S_OK);
        assert_int_equal(to->ulPropTag, from.ulPropTag);
        CHECK_ROW("parts", fake.live == 1 + parts_of(types[i]));
        if (!parts_of(types[i])) {
            assert_memory_equal(&to->Value, &from.Value, sizeof to->Value);
        } else if (types[i] == PT_MV_STRING8) {
            assert_string_equal(to->Value.MVszA.lppszA[1], narrow);
            assert_ptr_not_equal(to->Value.MVszA.lppszA[1], narrow);
        } else if (types[i] == PT_MV_UNICODE) {
            assert_memory_equal(to->Value.MVszW.lppszW[1], wide, sizeof wide);
        } else if (types[i] == PT_MV_BINARY) {
            assert_memory_equal(to->Value.MVbin.lpbin[0].lpb, bytes, sizeof bytes);
        } else if (types[i] & MV_FLAG) {
            assert_memory_equal(to->Value.MVl.lpl, from.Value.MVl.lpl, 4);
        }
        assert_int_equal(MAPIFreeBuffer(to), S_OK);
        assert_int_equal(fake.live, 0);
        assert_int_equal(hm_mapi_close(NULL, NULL), HM_OK);
        fake_malloc_fini(&fake);
    }
}

static void mapi__copies_nothing_unknown(void **state)
{
    SPropValue from = property(PT_STRING8);
    SPropValue to;
    SPropValue before;
    (void)state;
    void *root = root_of(8);
    memset(&to, 0xff, sizeof to);
    before = to;
    assert_int_equal(PropCopyMore(NULL, &from, MAPIAllocateMore, root),
                     MAPI_E_INVALID_PARAMETER);
    assert_int_equal(PropCopyMore(&to, NULL, MAPIAllocateMore, root),
                     MAPI_E_INVALID_PARAMETER);
    assert_int_equal(PropCopyMore(&to, &from, NULL, root), MAPI_E_INVALID_PARAMETER);
    assert_int_equal(PropCopyMore(&to, &from, MAPIAllocateMore, NULL),
                     MAPI_E_INVALID_PARAMETER);
    from.Value.lpszA = NULL;
    assert_int_equal(PropCopyMore(&to, &from, MAPIAllocateMore, root),
                     MAPI_E_INVALID_PARAMETER);
    from.ulPropTag = PROP_TAG(99, 1);
    assert_int_equal(PropCopyMore(&to, &from, MAPIAllocateMore, root), MAPI_E_NO_SUPPORT);
    from.ulPropTag = PROP_TAG(MV_FLAG | PT_NULL, 1);
    assert_int_equal(PropCopyMore(&to, &from, MAPIAllocateMore, root), MAPI_E_NO_SUPPORT);
    assert_memory_equal(&to, &before, sizeof to);
    assert_int_equal(MAPIFreeBuffer(root), S_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(mapi__copies_every_type, teardown),
        cmocka_unit_test_teardown(mapi__copies_nothing_unknown, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
