/* SPDX-License-Identifier: MIT */
/* A property copied deep, with the routine that it is given. */
#include <hostmalloc/bridges/mapi.h>

#include <string.h>

/* Where parts of a copy go. A failure stays. */
typedef struct copying {
    ALLOCATEMORE *more;
    LPVOID object;
    SCODE status;
} copying;

/* A copy of so many bytes; NULL after a failure. */
static void *copy(copying *c, const void *from, size_t bytes)
{
    LPVOID to = NULL;
    if (SUCCEEDED(c->status) && bytes > UINT32_MAX - 1) { /* SIZE_MAX, on any system */
        c->status = MAPI_E_NOT_ENOUGH_MEMORY;
    }
    if (SUCCEEDED(c->status) && !from && bytes) {
        c->status = MAPI_E_INVALID_PARAMETER;
    }
    if (SUCCEEDED(c->status)) {
        c->status = c->more((ULONG)bytes, c->object, &to);
    }
    if (SUCCEEDED(c->status) && !to) {
        c->status = MAPI_E_NOT_ENOUGH_MEMORY;
    }
    if (FAILED(c->status)) {
        return NULL;
    }
    if (bytes) {
        memcpy(to, from, bytes);
    }
    return to;
}

static LPSTR copy_text(copying *c, LPSTR text)
{
    return copy(c, text, text ? strlen(text) + 1 : 1);
}

static LPWSTR copy_wide(copying *c, LPWSTR text)
{
    size_t units = 0;
    while (text && text[units]) {
        units++;
    }
    return copy(c, text, (units + 1) * sizeof(WCHAR));
}

/* An array as it stands. */
static void *copy_array(copying *c, const void *values, ULONG count, size_t each)
{
    return copy(c, values, count <= UINT32_MAX / each ? count * each : SIZE_MAX);
}

static void copy_texts(copying *c, SLPSTRArray *texts)
{
    texts->lppszA = copy_array(c, texts->lppszA, texts->cValues, sizeof(LPSTR));
    for (ULONG i = 0; i < texts->cValues && SUCCEEDED(c->status); i++) {
        texts->lppszA[i] = copy_text(c, texts->lppszA[i]);
    }
}

static void copy_wides(copying *c, SWStringArray *texts)
{
    texts->lppszW = copy_array(c, texts->lppszW, texts->cValues, sizeof(LPWSTR));
    for (ULONG i = 0; i < texts->cValues && SUCCEEDED(c->status); i++) {
        texts->lppszW[i] = copy_wide(c, texts->lppszW[i]);
    }
}

static void copy_binaries(copying *c, SBinaryArray *all)
{
    all->lpbin = copy_array(c, all->lpbin, all->cValues, sizeof(SBinary));
    for (ULONG i = 0; i < all->cValues && SUCCEEDED(c->status); i++) {
        all->lpbin[i].lpb = copy(c, all->lpbin[i].lpb, all->lpbin[i].cb);
    }
}

/* The bytes of one value in an array that holds no pointers; 0 for other types. */
static size_t value_bytes(ULONG type)
{
    switch (type) {
    case PT_MV_I2:
        return sizeof(int16_t);
    case PT_MV_LONG:
    case PT_MV_R4:
        return 4;
    case PT_MV_DOUBLE:
    case PT_MV_APPTIME:
    case PT_MV_CURRENCY:
    case PT_MV_SYSTIME:
    case PT_MV_I8:
        return 8;
    case PT_MV_CLSID:
        return sizeof(GUID);
    default:
        return 0;
    }
}

/* value starts as what it is copied from. */
static void copy_parts(copying *c, SPropValue *value)
{
    const ULONG type = PROP_TYPE(value->ulPropTag);
    switch (type) {
    case PT_NULL:
    case PT_I2:
    case PT_LONG:
    case PT_R4:
    case PT_DOUBLE:
    case PT_CURRENCY:
    case PT_APPTIME:
    case PT_ERROR:
    case PT_BOOLEAN:
    case PT_OBJECT:
    case PT_I8:
    case PT_SYSTIME:
        return;
    case PT_STRING8:
        value->Value.lpszA = copy_text(c, value->Value.lpszA);
        return;
    case PT_UNICODE:
        value->Value.lpszW = copy_wide(c, value->Value.lpszW);
        return;
    case PT_BINARY:
        value->Value.bin.lpb = copy(c, value->Value.bin.lpb, value->Value.bin.cb);
        return;
    case PT_CLSID:
        value->Value.lpguid = copy(c, value->Value.lpguid, sizeof(GUID));
        return;
    case PT_MV_STRING8:
        copy_texts(c, &value->Value.MVszA);
        return;
    case PT_MV_UNICODE:
        copy_wides(c, &value->Value.MVszW);
        return;
    case PT_MV_BINARY:
        copy_binaries(c, &value->Value.MVbin);
        return;
    default:
        break;
    }
    const size_t each = value_bytes(type);
    if (!each) {
        c->status = MAPI_E_NO_SUPPORT;
        return;
    }
    /* Arrays of values are laid out alike, whatever they hold. */
    value->Value.MVl.lpl =
        copy_array(c, value->Value.MVl.lpl, value->Value.MVl.cValues, each);
}

SCODE STDAPICALLTYPE hm_mapi_copy_more(LPSPropValue to,
                                       LPSPropValue from,
                                       ALLOCATEMORE *more,
                                       LPVOID object)
{
    copying c = {more, object, S_OK};
    if (!to || !from || !more) {
        return MAPI_E_INVALID_PARAMETER;
    }
    SPropValue value = *from;
    copy_parts(&c, &value);
    if (FAILED(c.status)) {
        return c.status;
    }
    *to = value;
    return S_OK;
}
