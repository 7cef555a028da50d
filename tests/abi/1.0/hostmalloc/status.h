/* SPDX-License-Identifier: MIT */
/**
 * @file status.h
 * @brief What a call answers, and the one struct that explains a refusal.
 *
 * Functions on the set-up path take an `hm_error *` last: caller's storage, NULL allowed. Filling it
 * allocates nothing. `where` is the part that refused and the place in its input, `what` one line of
 * what was found and what was expected.
 * Stable since 1.0: values are never renumbered.
 */
#ifndef HM_STATUS_H
#define HM_STATUS_H

#include <hostmalloc/abi.h>

/** 0 or a negative HM_E_ value. Not an enum: a newer module may answer a value this build cannot name. */
typedef int32_t hm_status;

#define HM_OK            ((hm_status)0)
#define HM_E_NOMEM       ((hm_status)-1) /**< the host, a limit or the core had no memory */
#define HM_E_INVALID     ((hm_status)-2) /**< an argument, flag, option or spec is wrong */
#define HM_E_UNSUPPORTED ((hm_status)-3) /**< this host does not offer it */
#define HM_E_NOT_OWNED \
    ((hm_status)-4) /**< foreign, interior or another malloc's block; nothing done */
#define HM_E_FREED ((hm_status)-5) /**< freed before; nothing done */
#define HM_E_CORRUPT \
    ((hm_status)-6) /**< a guard was overwritten; the block left circulation */
#define HM_E_SIZE    ((hm_status)-7) /**< the size given is not the block's; nothing done */
#define HM_E_STARTED ((hm_status)-8) /**< too late to change */
#define HM_E_CLOSED \
    ((hm_status)-9) /**< the object is drained: frees work, allocations fail */
#define HM_E_EXISTS ((hm_status)-10) /**< the name is taken */
#define HM_E_NOT_FOUND \
    ((hm_status)-11) /**< no such name, interface, file or subscription */
#define HM_E_TIMEOUT ((hm_status)-12) /**< gave up waiting */
#define HM_E_ABI \
    ((hm_status)-13) /**< built against an interface this build cannot speak */
#define HM_E_OS ((hm_status)-14) /**< the system refused; hm_error.os_code says why */

/** Why a set-up call refused. 256 bytes, for good. */
typedef struct hm_error {
    hm_status status;
    int32_t os_code; /**< errno or GetLastError() where the system refused, else 0 */
    char where
        [64]; /**< "spec:7", "module:/usr/lib/x.so", "host:debug"; empty when there was no error */
    char what[184]; /**< one line: what was found, what was expected */
} hm_error;

HM_STATIC_ASSERT(sizeof(hm_error) == 256, "hm_error is 256 bytes in every release");

HM_BEGIN_DECLS

/** "HM_E_NOMEM" for HM_E_NOMEM and so on; "HM_E_?" for a value this build does not know. Static.
    @threads any */
HM_API const char *hm_status_name(hm_status status);

/** Write "hostmalloc: WHERE: WHAT (HM_E_NAME)" and a newline to standard error, without allocating.
    @p err may be NULL (nothing is written). @threads any */
HM_API void hm_error_print(const hm_error *err);

/**
 * Fill @p err (NULL allowed) and return @p status, so that a refusal is one statement.
 * The text is cut to fit; nothing is allocated.
 * @param where  the part that refuses, see hm_error
 * @param format as printf's, integers and strings only
 * @threads any
 */
HM_API hm_status
hm_error_set(hm_error *err, hm_status status, const char *where, const char *format, ...)
    HM_PRINTF(4, 5);

HM_END_DECLS

#endif
