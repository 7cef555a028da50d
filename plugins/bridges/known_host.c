/* SPDX-License-Identifier: MIT */
/* Any host's malloc, made to know its blocks. */
#include "known_internal.h"

/* A host that checks knows its blocks anyway, and says more about them. For any other the bridge knows them, without
   the lock that a host's own exact malloc may need. */
static hm_malloc *
checking_instead(hm_malloc *m, hm_host *host, const char *name, uint32_t flags)
{
    hm_malloc *checking;
    if ((m->flags & HM_MALLOC_DEBUG) && !(m->flags & HM_MALLOC_EXACT) &&
        hm_host_create_malloc(host, name, flags | HM_MALLOC_EXACT, &checking, NULL) ==
            HM_OK) {
        hm_malloc_release(m);
        return checking;
    }
    return m;
}

hm_status hm__known_over(
    hm_malloc *m, uint32_t flags, const char *where, hm_malloc **out, hm_error *err)
{
    const uint32_t wanted = (flags & HM_MALLOC_THREADSAFE) | HM_MALLOC_EXACT;
    if ((m->flags & wanted) == wanted) {
        *out = m;
        return HM_OK;
    }
    const hm_status status = hm__known_create(m, out);
    hm_malloc_release(m);
    return status == HM_OK
               ? HM_OK
               : hm_error_set(err, status, where, "no private memory to know blocks by");
}

hm_status hm__known_of_host(hm_host *host,
                            const char *name,
                            uint32_t flags,
                            const char *where,
                            hm_malloc **out,
                            hm_error *err)
{
    hm_malloc *m;
    hm_status status = hm_host_create_malloc(host, name, flags, &m, err);
    *out = NULL;
    if (status == HM_E_UNSUPPORTED && (flags & HM_MALLOC_THREADSAFE)) {
        status =
            hm_host_create_malloc(host, name, flags & ~HM_MALLOC_THREADSAFE, &m, err);
    }
    return status == HM_OK ? hm__known_over(checking_instead(m, host, name, flags), flags,
                                            where, out, err)
                           : status;
}
