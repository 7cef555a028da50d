/* SPDX-License-Identifier: MIT */
/**
 * @file debug_test.h
 * @brief Expectations about memory for tests: no leak, so many allocations, so many bytes.
 *
 * Each runs a function of yours and answers a status, so that any test framework can use it:
 *
 *     hm_debug_measure seen;
 *     assert(hm_debug_expect_no_growth(debug, parse_one, input, 2, 100, &seen) == HM_OK);
 *
 * HM_OK: as expected. HM_E_SIZE: not as expected; the figures say how far off. Anything else: it could not be measured,
 * HM_E_UNSUPPORTED under a host that does not count. What other threads allocate meanwhile counts too; of one
 * malloc's hm_debug only what comes from that malloc.
 */
#ifndef HM_DEBUG_TEST_H
#define HM_DEBUG_TEST_H

#include <hostmalloc/debug.h>

/** What the measured runs did, in requested bytes. */
typedef struct hm_debug_measure {
    uint64_t allocations; /**< blocks made; a resize makes one */
    uint64_t bytes;       /**< of these, in all */
    int64_t grown_blocks; /**< more live after than before */
    int64_t grown_bytes;
    uint64_t
        peak_bytes; /**< the most live at once, beyond what was before; hm_debug_expect_at_most() alone */
    const hm_site
        *site; /**< where most of what grew was made; NULL: not known, or nothing grew */
    uint64_t site_blocks; /**< made there by the measured runs, and live */
    uint64_t site_bytes;
} hm_debug_measure;

typedef void hm_debug_run(void *context);

HM_BEGIN_DECLS

static inline int hm__debug_measure_add(void *context, const hm_debug_site *site)
{
    hm_debug_measure *sum = (hm_debug_measure *)context;
    sum->allocations += site->total_blocks;
    sum->bytes += site->total_bytes;
    sum->grown_blocks += (int64_t)site->live_blocks;
    sum->grown_bytes += (int64_t)site->live_bytes;
    return 0;
}

static inline int hm__debug_measure_most(void *context, const hm_debug_site *site)
{
    hm_debug_measure *most = (hm_debug_measure *)context;
    if (site->live_blocks > most->site_blocks) {
        most->site = site->site;
        most->site_blocks = site->live_blocks;
        most->site_bytes = site->live_bytes;
    }
    return 0;
}

/* Sums of everything so far, in the members the differences go to. */
static inline hm_status hm__debug_measure_sum(hm_debug *debug, hm_debug_measure *sum)
{
    const hm_debug_measure zero = {0, 0, 0, 0, 0, (const hm_site *)0, 0, 0};
    *sum = zero;
    return hm_debug_sites(debug, hm__debug_measure_add, sum);
}

static inline hm_status hm__debug_measure_runs(hm_debug *debug,
                                               hm_debug_run *run,
                                               void *context,
                                               uint32_t runs,
                                               hm_debug_measure *out)
{
    hm_debug_measure before;
    uint32_t i;
    hm_status status = hm__debug_measure_sum(debug, &before);
    if (status != HM_OK) {
        return status;
    }
    for (i = 0; i < runs; i++) {
        run(context);
    }
    status = hm__debug_measure_sum(debug, out);
    out->allocations -= before.allocations;
    out->bytes -= before.bytes;
    out->grown_blocks -= before.grown_blocks;
    out->grown_bytes -= before.grown_bytes;
    return status;
}

/**
 * No leak in @p run: called @p warm_up times first, so that what it makes once and keeps is there, then @p runs times, it
 * must not leave more blocks or bytes live than before. Takes one checkpoint, to name the place; after the host's last
 * one the place stays unknown.
 * @param runs at least 1
 * @param[out] out NULL allowed
 * @return HM_OK; HM_E_SIZE when it grew; HM_E_INVALID; HM_E_NOMEM; HM_E_UNSUPPORTED for NULL
 */
static inline hm_status hm_debug_expect_no_growth(hm_debug *debug,
                                                  hm_debug_run *run,
                                                  void *context,
                                                  uint32_t warm_up,
                                                  uint32_t runs,
                                                  hm_debug_measure *out)
{
    hm_debug_measure seen;
    uint32_t mark = 0;
    hm_status status, marked;
    if (!run || !runs) {
        return HM_E_INVALID;
    }
    if (!debug) {
        return HM_E_UNSUPPORTED;
    }
    for (; warm_up; warm_up--) {
        run(context);
    }
    marked = hm_debug_checkpoint(debug, &mark);
    status = hm__debug_measure_runs(debug, run, context, runs, &seen);
    if (status == HM_OK && (seen.grown_blocks > 0 || seen.grown_bytes > 0)) {
        status = HM_E_SIZE;
        if (marked == HM_OK) {
            hm_debug_since(debug, mark, 0, hm__debug_measure_most, &seen);
        }
    }
    if (out && (status == HM_OK || status == HM_E_SIZE)) {
        *out = seen;
    }
    return status;
}

/**
 * One call of @p run allocates exactly @p count times; a resize counts as one.
 * @param[out] out NULL allowed
 * @return HM_OK; HM_E_SIZE when it is another number; HM_E_INVALID; HM_E_NOMEM; HM_E_UNSUPPORTED for NULL
 */
static inline hm_status hm_debug_expect_allocations(hm_debug *debug,
                                                    hm_debug_run *run,
                                                    void *context,
                                                    uint64_t count,
                                                    hm_debug_measure *out)
{
    hm_debug_measure seen;
    hm_status status;
    if (!run) {
        return HM_E_INVALID;
    }
    status = hm__debug_measure_runs(debug, run, context, 1, &seen);
    if (status == HM_OK) {
        status = seen.allocations == count ? HM_OK : HM_E_SIZE;
        if (out) {
            *out = seen;
        }
    }
    return status;
}

/**
 * One call of @p run leaves at most @p live bytes more live in @p m, and never has more than @p peak bytes more live at
 * once. Under any host that counts. The peak is known while the malloc has not had a higher one before: use a fresh
 * malloc.
 * @param peak UINT64_MAX: not asked
 * @param[out] out NULL allowed; its allocations and bytes are of @p m alone
 * @return HM_OK; HM_E_SIZE when it is more; HM_E_INVALID; HM_E_UNSUPPORTED when the malloc does not count, or an earlier
 *         peak hides this one
 */
static inline hm_status hm_debug_expect_at_most(hm_malloc *m,
                                                hm_debug_run *run,
                                                void *context,
                                                uint64_t live,
                                                uint64_t peak,
                                                hm_debug_measure *out)
{
    hm_debug_measure seen = {0, 0, 0, 0, 0, (const hm_site *)0, 0, 0};
    hm_stats before, after;
    hm_status status;
    if (!m || !run) {
        return HM_E_INVALID;
    }
    status = hm_malloc_stats(m, &before);
    if (status == HM_OK) {
        run(context);
        status = hm_malloc_stats(m, &after);
    }
    if (status != HM_OK) {
        return status;
    }
    seen.allocations = after.total_blocks - before.total_blocks;
    seen.bytes = after.total_bytes - before.total_bytes;
    seen.grown_blocks = (int64_t)(after.live_blocks - before.live_blocks);
    seen.grown_bytes = (int64_t)(after.live_bytes - before.live_bytes);
    seen.peak_bytes = after.peak_bytes - before.live_bytes;
    if (out) {
        *out = seen;
    }
    if (seen.grown_bytes > 0 && (uint64_t)seen.grown_bytes > live) {
        return HM_E_SIZE;
    }
    if (seen.peak_bytes > peak) {
        return after.peak_bytes > before.peak_bytes ? HM_E_SIZE : HM_E_UNSUPPORTED;
    }
    return HM_OK;
}

HM_END_DECLS

#endif
