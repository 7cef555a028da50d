/* SPDX-License-Identifier: MIT */
/* Mutants whose malloc objects count, live, reset, close and limit wrongly. */
#include "mutants.h"

#define FORWARD (mutant_core->malloc_forward)

#define CHANGE(name, slot, function)                     \
    static void name(hm_malloc_vtbl *m, hm_host_vtbl *h) \
    {                                                    \
        (void)h;                                         \
        (m->slot) = function;                            \
    }

#define CHANGE_HOST(name, slot, function)                \
    static void name(hm_malloc_vtbl *m, hm_host_vtbl *h) \
    {                                                    \
        (void)m;                                         \
        h->slot = function;                              \
    }

#define CREATE(name)                                                                  \
    static hm_status name(hm_host *self, const hm_malloc_opts *opts, hm_malloc **out, \
                          hm_error *err)

static hm_status one_more_stats(hm_malloc *self, hm_stats *out)
{
    const hm_status status = FORWARD->stats(self, out);
    if (status == HM_OK && out->size >= sizeof *out) {
        out->live_blocks += 1;
    }
    return status;
}
CHANGE(stats_one_more, stats, one_more_stats)

static hm_status overrun_stats(hm_malloc *self, hm_stats *out)
{
    hm_stats whole = {.size = sizeof whole};
    const hm_status status = FORWARD->stats(self, &whole);
    if (status == HM_OK) {
        *out = whole;
    }
    return status;
}
CHANGE(stats_overrun, stats, overrun_stats)

static void null_free(hm_malloc *self, void *block)
{
    mutant_of(self)->nulls += !block;
    (FORWARD->free)(self, block);
}

static hm_status null_stats(hm_malloc *self, hm_stats *out)
{
    const hm_status status = FORWARD->stats(self, out);
    if (status == HM_OK && out->size >= sizeof *out) {
        out->total_blocks += mutant_of(self)->nulls;
    }
    return status;
}

static void stats_null(hm_malloc_vtbl *m, hm_host_vtbl *h)
{
    (void)h;
    (m->free) = null_free;
    m->stats = null_stats;
}

static void ignored_retain(hm_malloc *self)
{
    (void)self;
}
CHANGE(retain_ignored, retain, ignored_retain)

/* The object underneath is not scoped, whatever was asked for. */
CREATE(scoped_leaks_create)
{
    hm_malloc_opts less;
    hm_status status = mutant_core->malloc_opts_read(opts, ~0u, &less, err);
    const uint32_t scoped = less.flags & HM_MALLOC_SCOPED;
    less.flags &= ~HM_MALLOC_SCOPED;
    status = status == HM_OK ? mutant_create(self, &less, out, err) : status;
    if (status == HM_OK) {
        (*out)->flags |= scoped;
    } else {
        *out = NULL;
    }
    return status;
}
CHANGE_HOST(scoped_leaks, create_malloc, scoped_leaks_create)

static hm_status nothing_reset(hm_malloc *self)
{
    (void)self;
    return HM_OK;
}
CHANGE(reset_nothing, reset, nothing_reset)

static void ignored_close(hm_malloc *self)
{
    (void)self;
}
CHANGE(close_ignored, close, ignored_close)

/* close-breaks-frees */
static void breaking_close(hm_malloc *self)
{
    mutant_of(self)->closed = 1;
    (FORWARD->close)(self);
}

static hm_status breaking_debug_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    return block && mutant_of(self)->closed
               ? HM_E_CLOSED
               : FORWARD->debug_free(self, block, size, alignment, site);
}

static void close_breaks_frees(hm_malloc_vtbl *m, hm_host_vtbl *h)
{
    (void)h;
    (m->close) = breaking_close;
    m->debug_free = breaking_debug_free;
}

static hm_status everything_find(hm_malloc *self, const char *name, void **out)
{
    (void)name;
    *out = self;
    return HM_OK;
}
CHANGE(find_everything, find, everything_find)

CREATE(limit_one_more_create)
{
    hm_malloc_opts more;
    const hm_status status = mutant_core->malloc_opts_read(opts, ~0u, &more, err);
    *out = NULL;
    more.limit += more.limit > 0;
    return status == HM_OK ? mutant_create(self, &more, out, err) : status;
}
CHANGE_HOST(limit_one_more, create_malloc, limit_one_more_create)

/* Small limits only, so that nothing else than limits is wrong. */
static void *usable_alloc(hm_malloc *self, size_t size, hm_level level)
{
    const size_t limit = mutant_of(self)->limit;
    const size_t usable = limit && limit <= 1000 ? (size + 15) & ~(size_t)15 : size;
    return (FORWARD->alloc)(self, usable, level);
}
CHANGE(limit_usable, alloc, usable_alloc)

static void *unlimited_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    static _Alignas(4096) char elsewhere[4096];
    void *block = FORWARD->alloc_aligned(self, size, alignment, level, site);
    return !block && mutant_of(self)->limit == 1000 && size < sizeof elsewhere ? elsewhere
                                                                               : block;
}
CHANGE(limit_not_aligned, alloc_aligned, unlimited_alloc_aligned)

static hm_status double_free_ok_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    const hm_status status = FORWARD->debug_free(self, block, size, alignment, site);
    return status == HM_E_FREED ? HM_OK : status;
}
CHANGE(verdict_double_free, debug_free, double_free_ok_free)

static hm_status foreign_ok_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    const hm_status status = FORWARD->debug_free(self, block, size, alignment, site);
    return status == HM_E_NOT_OWNED ? HM_OK : status;
}
CHANGE(verdict_foreign, debug_free, foreign_ok_free)

static hm_status
any_size_free(hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    (void)size;
    return FORWARD->debug_free(self, block, HM_SIZE_UNKNOWN, alignment, site);
}
CHANGE(verdict_any_size, debug_free, any_size_free)

static const mutant mutants[] = {
    {"stats-one-more", stats_one_more},
    {"stats-overrun", stats_overrun},
    {"stats-null", stats_null},
    {"retain-ignored", retain_ignored},
    {"scoped-leaks", scoped_leaks},
    {"reset-nothing", reset_nothing},
    {"close-ignored", close_ignored},
    {"close-breaks-frees", close_breaks_frees},
    {"find-everything", find_everything},
    {"limit-one-more", limit_one_more},
    {"limit-usable", limit_usable},
    {"limit-not-aligned", limit_not_aligned},
    {"verdict-double-free", verdict_double_free},
    {"verdict-foreign", verdict_foreign},
    {"verdict-any-size", verdict_any_size},
};
const mutant_group mutant_objects = MUTANT_GROUP(mutants);
