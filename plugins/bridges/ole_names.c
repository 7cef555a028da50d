/* SPDX-License-Identifier: MIT */
/* The platform's names, in an object of their own: a program that brings its own and calls ours by our names
 * never links these. Built only where the platform has none. */
#include <hostmalloc/bridges/ole.h>

HM_MODULE_VISIBLE HRESULT CoGetMalloc(DWORD context, IMalloc **out)
{
    return hm_ole_get_malloc(context, out);
}

HM_MODULE_VISIBLE void *CoTaskMemAlloc(SIZE_T bytes)
{
    return hm_ole_alloc(bytes);
}

HM_MODULE_VISIBLE void *CoTaskMemRealloc(void *block, SIZE_T bytes)
{
    return hm_ole_realloc(block, bytes);
}

HM_MODULE_VISIBLE void CoTaskMemFree(void *block)
{
    hm_ole_free(block);
}

HM_MODULE_VISIBLE HRESULT CoRegisterMallocSpy(IMallocSpy *spy)
{
    return hm_ole_register_spy(spy);
}

HM_MODULE_VISIBLE HRESULT CoRevokeMallocSpy(void)
{
    return hm_ole_revoke_spy();
}
