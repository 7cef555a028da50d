/* SPDX-License-Identifier: MIT */
/* The platform's names, in an object of their own: a program that brings its own and calls ours by our names never links
 * these. */
#include <hostmalloc/bridges/netmon.h>

HM_MODULE_VISIBLE LPVOID WINAPI ExpertAllocMemory(HEXPERTKEY key,
                                                  SIZE_T bytes,
                                                  LPDWORD error)
{
    return hm_netmon_alloc(key, bytes, error);
}

HM_MODULE_VISIBLE LPVOID WINAPI ExpertReallocMemory(HEXPERTKEY key,
                                                    LPVOID block,
                                                    SIZE_T bytes,
                                                    LPDWORD error)
{
    return hm_netmon_realloc(key, block, bytes, error);
}

HM_MODULE_VISIBLE DWORD WINAPI ExpertFreeMemory(HEXPERTKEY key, LPVOID block)
{
    return hm_netmon_free(key, block);
}

HM_MODULE_VISIBLE SIZE_T WINAPI ExpertMemorySize(HEXPERTKEY key, LPVOID block)
{
    return hm_netmon_size(key, block);
}
