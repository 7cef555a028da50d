/* SPDX-License-Identifier: MIT */
/**
 * @file limit.h
 * @brief The limit layer's questions: how much is used, where the lines are, move them.
 *
 * "limit:hard=64M+mimalloc" is a host whose mallocs together never have more than 64 MiB of requested bytes
 * live. Three lines, by what breaks when an allocation fails (hm_level): a task stops at the soft line, a
 * domain at the hard line, the process may also use the reserve, which is kept ready in touched pages.
 * Stable since 1.0.
 */
#ifndef HM_LIMIT_H
#define HM_LIMIT_H

#include <hostmalloc/host.h>

/** Requested bytes; 0 for a line that is not drawn. */
typedef struct hm_limit_lines {
    size_t size; /**< sizeof(hm_limit_lines) as the caller compiled it */
    uint64_t soft;
    uint64_t hard;
    uint64_t reserve;
} hm_limit_lines;

typedef struct hm_limit_use {
    size_t size; /**< sizeof(hm_limit_use) as the caller compiled it */
    uint64_t live;
    uint64_t peak;
    uint64_t
        denied; /**< allocations the lines refused; never goes back: "was the limit hit?" */
    uint64_t failed;        /**< allocations the host underneath refused */
    uint32_t reserve_ready; /**< 1 while the reserve's pages are held */
    hm_pressure pressure;   /**< what subscribers were told last; HIGH before that */
} hm_limit_use;

/** What find("limit") of a limit layer's host or malloc gives. @threads any */
typedef struct hm_limit {
    size_t size;
    void *self;
    hm_status (*read)(void *self,
                      hm_limit_lines *lines,
                      hm_limit_use *use); /**< NULL allowed */
    hm_status (*move)(void *self, const hm_limit_lines *lines);
} hm_limit;

HM_BEGIN_DECLS

/**
 * The lines and the use of the outermost limit layer in @p host; either may be NULL.
 * HM_E_NOT_FOUND when there is no limit layer in the stack. @threads any
 */
static inline hm_status
hm_limit_read(hm_host *host, hm_limit_lines *lines, hm_limit_use *use)
{
    void *found = (void *)0;
    const hm_status status = hm_host_find(host, "limit", &found);
    if (status != HM_OK) {
        return status;
    }
    const hm_limit *limit = (const hm_limit *)found;
    if (lines) {
        lines->size = sizeof *lines;
    }
    if (use) {
        use->size = sizeof *use;
    }
    return limit->read(limit->self, lines, use);
}

/** Move the lines while the program runs: what is live stays, also above a lower line. HM_E_INVALID for
    a soft line above the hard one. @threads any */
static inline hm_status
hm_limit_move(hm_host *host, uint64_t soft, uint64_t hard, uint64_t reserve)
{
    void *found = (void *)0;
    const hm_status status = hm_host_find(host, "limit", &found);
    if (status != HM_OK) {
        return status;
    }
    const hm_limit *limit = (const hm_limit *)found;
    const hm_limit_lines lines = {sizeof lines, soft, hard, reserve};
    return limit->move(limit->self, &lines);
}

HM_END_DECLS

#endif
