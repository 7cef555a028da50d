/* SPDX-License-Identifier: MIT */
/* MAPI's names, in an object of their own: a program that brings its own and calls ours by our names never links
 * these. Built only where the platform has none. */
#include <hostmalloc/bridges/mapi.h>

HM_MODULE_VISIBLE SCODE WINAPI MAPIAllocateBuffer(ULONG bytes, LPVOID *out)
{
    return hm_mapi_allocate(bytes, out);
}

HM_MODULE_VISIBLE SCODE WINAPI MAPIAllocateMore(ULONG bytes, LPVOID object, LPVOID *out)
{
    return hm_mapi_allocate_more(bytes, object, out);
}

HM_MODULE_VISIBLE ULONG WINAPI MAPIFreeBuffer(LPVOID buffer)
{
    return hm_mapi_free(buffer);
}

HM_MODULE_VISIBLE SCODE WINAPI MAPIReallocateBuffer(LPVOID buffer,
                                                    ULONG bytes,
                                                    LPVOID *out)
{
    return hm_mapi_reallocate(buffer, bytes, out);
}

HM_MODULE_VISIBLE LPMALLOC STDAPICALLTYPE MAPIGetDefaultMalloc(void)
{
    return hm_mapi_default_malloc();
}

HM_MODULE_VISIBLE void STDAPICALLTYPE FreeProws(LPSRowSet rows)
{
    hm_mapi_free_rows(rows);
}

HM_MODULE_VISIBLE void STDAPICALLTYPE FreePadrlist(LPADRLIST list)
{
    hm_mapi_free_addresses(list);
}

HM_MODULE_VISIBLE SCODE STDAPICALLTYPE PropCopyMore(LPSPropValue to,
                                                    LPSPropValue from,
                                                    ALLOCATEMORE *more,
                                                    LPVOID object)
{
    return hm_mapi_copy_more(to, from, more, object);
}

HM_MODULE_VISIBLE SCODE STDAPICALLTYPE ScInitMapiUtil(ULONG reserved)
{
    return hm_mapi_init_util(reserved);
}

HM_MODULE_VISIBLE void STDAPICALLTYPE DeinitMapiUtil(void)
{
    hm_mapi_deinit_util();
}

HM_MODULE_VISIBLE HRESULT WINAPI MAPIInitialize(LPVOID options)
{
    return hm_mapi_initialize(options);
}

HM_MODULE_VISIBLE void WINAPI MAPIUninitialize(void)
{
    hm_mapi_uninitialize();
}
