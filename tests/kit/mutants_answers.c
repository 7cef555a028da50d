/* SPDX-License-Identifier: MIT */
/* Mutants that reallocate wrongly, and that tell untruths about blocks. */
#include "mutants.h"

#define FORWARD (mutant_core->malloc_forward)

#define REALLOC(name)                                                             \
    static void *name(hm_malloc *self, void *block, size_t old_size, size_t size, \
                      hm_level level, hm_site *site)

#define CHANGE(name, slot, function)                     \
    static void name(hm_malloc_vtbl *m, hm_host_vtbl *h) \
    {                                                    \
        (void)h;                                         \
        (m->slot) = function;                            \
    }

REALLOC(loses_realloc)
{
    char *moved = (FORWARD->realloc)(self, block, old_size, size, level, site);
    if (moved && block && size > 4096) {
        moved[4000] ^= 1;
    }
    return moved;
}
CHANGE(realloc_loses, realloc, loses_realloc)

REALLOC(frees_realloc)
{
    void *moved = (FORWARD->realloc)(self, block, old_size, size, level, site);
    if (!moved && block && size > SIZE_MAX / 4) {
        hm_free_at(inner_of(self), block, HM_SIZE_UNKNOWN, 0, site);
    }
    return moved;
}
CHANGE(realloc_frees, realloc, frees_realloc)

REALLOC(zero_null_realloc)
{
    if (block && size == 0) {
        hm_free_at(inner_of(self), block, HM_SIZE_UNKNOWN, 0, site);
        return NULL;
    }
    return (FORWARD->realloc)(self, block, old_size, size, level, site);
}
CHANGE(realloc_zero_null, realloc, zero_null_realloc)

REALLOC(null_refused_realloc)
{
    return block ? (FORWARD->realloc)(self, block, old_size, size, level, site) : NULL;
}
CHANGE(realloc_null_refused, realloc, null_refused_realloc)

REALLOC(shrink_fails_realloc)
{
    return size < 300 && mutant_of(self)->limit == 1000
               ? NULL
               : (FORWARD->realloc)(self, block, old_size, size, level, site);
}
CHANGE(realloc_shrink_fails, realloc, shrink_fails_realloc)

REALLOC(errno_realloc)
{
    void *moved = (FORWARD->realloc)(self, block, old_size, size, level, site);
    errno = EAGAIN;
    return moved;
}
CHANGE(realloc_errno, realloc, errno_realloc)

static hm_status unzeroed_request(hm_malloc *self, const hm_request *request, void **out)
{
    hm_request less;
    if (!request || request->size < sizeof less) {
        return FORWARD->request(self, request, out);
    }
    less = *request;
    less.flags &= ~HM_REQUEST_ZEROED;
    const hm_status status = FORWARD->request(self, &less, out);
    if (status == HM_OK && request->bytes > 50) {
        ((char *)*out)[request->bytes - 1] = 1; /* what fresh pages would hide */
    }
    return status;
}
CHANGE(request_unzeroed, request, unzeroed_request)

static hm_status out_left_request(hm_malloc *self, const hm_request *request, void **out)
{
    void *block = NULL;
    const hm_status status = FORWARD->request(self, request, out ? &block : NULL);
    if (status == HM_OK) {
        *out = block;
    }
    return status;
}
CHANGE(request_out_left, request, out_left_request)

static hm_status hangs_request(hm_malloc *self, const hm_request *request, void **out)
{
    while (request && request->bytes == 777) {
        mutant_core->lock(&mutant_of(self)->lock);
    }
    return FORWARD->request(self, request, out);
}
CHANGE(request_hangs, request, hangs_request)

static size_t small_size_of(hm_malloc *self, const void *block)
{
    const size_t usable = FORWARD->size_of(self, block);
    return usable > 2000 && usable < 3000 ? 1000 : usable;
}
CHANGE(size_small, size_of, small_size_of)

/* size-changes: of a block alone it is larger. */
static void *counting_alloc(hm_malloc *self, size_t size, hm_level level)
{
    void *block = (FORWARD->alloc)(self, size, level);
    mutant_of(self)->live += block && is_plain(self);
    return block;
}

static void counting_free(hm_malloc *self, void *block)
{
    mutant_of(self)->live -= block && is_plain(self);
    (FORWARD->free)(self, block);
}

static size_t changing_size_of(hm_malloc *self, const void *block)
{
    const size_t usable = FORWARD->size_of(self, block);
    const int less = mutant_of(self)->live > 1 && mutant_of(self)->asked == 0;
    return block && less && is_plain(self) ? usable - 1 : usable;
}

static void size_changes(hm_malloc_vtbl *m, hm_host_vtbl *h)
{
    (void)h;
    m->alloc = counting_alloc;
    (m->free) = counting_free;
    m->size_of = changing_size_of;
}

static size_t zero_size_of(hm_malloc *self, const void *block)
{
    return block ? FORWARD->size_of(self, block) : 8;
}
CHANGE(size_of_null, size_of, zero_size_of)

static size_t low_good_size(hm_malloc *self, size_t size)
{
    (void)self;
    return size & ~(size_t)15;
}
CHANGE(good_size_low, good_size, low_good_size)

static size_t wrapping_good_size(hm_malloc *self, size_t size)
{
    (void)self;
    return (size + 15) & ~(size_t)15;
}
CHANGE(good_size_wraps, good_size, wrapping_good_size)

static int all_owns(hm_malloc *self, const void *block)
{
    (void)self, (void)block;
    return 1;
}
CHANGE(owns_all, owns, all_owns)

static int none_owns(hm_malloc *self, const void *block)
{
    (void)self, (void)block;
    return 0;
}
CHANGE(owns_none, owns, none_owns)

static int reading_owns(hm_malloc *self, const void *block)
{
    if (block && (uintptr_t)block < 4096) {
        (void)*(const volatile char *)block;
    }
    return FORWARD->owns(self, block);
}
CHANGE(owns_reads, owns, reading_owns)

static hm_status wrong_size_describe(hm_malloc *self, const void *block, hm_block *out)
{
    const hm_status status = FORWARD->describe(self, block, out);
    if (status == HM_OK && out->size >= sizeof *out) {
        out->requested += 1;
    }
    return status;
}
CHANGE(describe_wrong_size, describe, wrong_size_describe)

static hm_status overrun_describe(hm_malloc *self, const void *block, hm_block *out)
{
    hm_block whole = {.size = sizeof whole};
    const hm_status status = FORWARD->describe(self, block, &whole);
    if (status == HM_OK) {
        *out = whole;
    }
    return status;
}
CHANGE(describe_overrun, describe, overrun_describe)

static hm_status any_describe(hm_malloc *self, const void *block, hm_block *out)
{
    const hm_status status = FORWARD->describe(self, block, out);
    return status == HM_E_NOT_OWNED ? HM_OK : status;
}
CHANGE(describe_any, describe, any_describe)

typedef struct tour {
    hm_visit *visit;
    void *context;
    int skip, times, go_on;
} tour;

static int tour_visit(void *context, const hm_block *block)
{
    tour *t = context;
    int stop = 0;
    for (int i = 0; !t->skip && i < t->times && !stop; i++) {
        stop = t->visit(t->context, block);
    }
    t->skip = 0;
    return t->go_on ? 0 : stop;
}

static hm_status twice_walk(hm_malloc *self, hm_visit *visit, void *context)
{
    tour t = {visit, context, 0, 2, 0};
    return FORWARD->walk(self, tour_visit, &t);
}
CHANGE(walk_twice, walk, twice_walk)

static hm_status misses_walk(hm_malloc *self, hm_visit *visit, void *context)
{
    tour t = {visit, context, 1, 1, 0};
    return FORWARD->walk(self, tour_visit, &t);
}
CHANGE(walk_misses_one, walk, misses_walk)

static hm_status goes_on_walk(hm_malloc *self, hm_visit *visit, void *context)
{
    tour t = {visit, context, 0, 1, 1};
    return FORWARD->walk(self, tour_visit, &t);
}
CHANGE(walk_goes_on, walk, goes_on_walk)

static const mutant mutants[] = {
    {"realloc-loses", realloc_loses},
    {"realloc-frees", realloc_frees},
    {"realloc-zero-null", realloc_zero_null},
    {"realloc-null-refused", realloc_null_refused},
    {"realloc-shrink-fails", realloc_shrink_fails},
    {"realloc-errno", realloc_errno},
    {"request-unzeroed", request_unzeroed},
    {"request-out-left", request_out_left},
    {"request-hangs", request_hangs},
    {"size-small", size_small},
    {"size-changes", size_changes},
    {"size-of-null", size_of_null},
    {"good-size-low", good_size_low},
    {"good-size-wraps", good_size_wraps},
    {"owns-all", owns_all},
    {"owns-none", owns_none},
    {"owns-reads", owns_reads},
    {"describe-wrong-size", describe_wrong_size},
    {"describe-overrun", describe_overrun},
    {"describe-any", describe_any},
    {"walk-twice", walk_twice},
    {"walk-misses-one", walk_misses_one},
    {"walk-goes-on", walk_goes_on},
};
const mutant_group mutant_answers = MUTANT_GROUP(mutants);
