/* SPDX-License-Identifier: MIT */
/* The calls of a spied malloc: pre, the work, post.
 *
 * The spy is looked up once, under the lock that is then held to the end of the pair. A call that finds none was
 * overtaken by its leaving and passes by. So does a call from within a pair, unless it is about a block of
 * this spy, which only the spy can translate. */
#include "spied_internal.h"

#include <errno.h>
#include <stdalign.h>

static hm_malloc *inner_of(hm_malloc *self)
{
    return hm__spied_from(self)->layer.inner;
}

/* NULL, and the lock open again: pass by. */
static hm_spy *pair_begin(hm__spied *s, const void *block, int *spied)
{
    hm__spies_enter();
    *spied = s->spy && hm__spied_set_has(&s->set, block);
    if (!s->spy || (s->inside && !*spied)) {
        hm__spies_leave();
        return NULL;
    }
    s->inside++;
    return s->spy;
}

static void pair_end(hm__spied *s)
{
    s->inside--;
    hm__spied_settle(s);
    hm__spies_leave();
}

/* A spy owes at least what was asked for, whatever it says. */
static size_t at_least(size_t wanted, size_t bytes)
{
    return wanted < bytes ? bytes : wanted;
}

static void *take(hm_malloc *self, size_t bytes, hm_level level, hm_site *site)
{
    hm__spied *s = hm__spied_from(self);
    hm_malloc *inner = s->layer.inner;
    int spied;
    hm_spy *spy = pair_begin(s, NULL, &spied);
    if (!spy) {
        return hm_alloc_at(inner, bytes, level, site);
    }
    void *result = NULL;
    const size_t wanted = spy->vtbl->pre_alloc(spy, bytes);
    if (wanted || !bytes) {
        const int room = hm__spied_set_reserve(&s->set);
        void *actual =
            room ? hm_alloc_at(inner, at_least(wanted, bytes), level, site) : NULL;
        result = spy->vtbl->post_alloc(spy, actual);
        if (room) {
            hm__spied_set_add(&s->set, actual ? result : NULL);
        }
    }
    pair_end(s);
    return result;
}

static hm_status
give(hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    hm__spied *s = hm__spied_from(self);
    hm_malloc *inner = s->layer.inner;
    int spied;
    if (!block) {
        return HM_OK;
    }
    hm_spy *spy = pair_begin(s, block, &spied);
    if (!spy) {
        return HM_LOAD(inner->vtbl)->debug_free(inner, block, size, alignment, site);
    }
    const int saved = errno;
    hm_status status = HM_OK;
    hm__spied_set_remove(&s->set, block);
    void *actual = spy->vtbl->pre_free(spy, block, spied);
    if (actual) {
        const int same = !spied && actual == block;
        status = HM_LOAD(inner->vtbl)
                     ->debug_free(inner, actual, same ? size : HM_SIZE_UNKNOWN,
                                  same ? alignment : 0, site);
    }
    spy->vtbl->post_free(spy, spied);
    pair_end(s);
    errno = saved;
    return status;
}

/* The work of a reallocation, for a block the spy named: its new place, or NULL when it was refused. */
static void *
move(hm_malloc *inner, void *actual, size_t bytes, hm_level level, hm_site *site)
{
    /* Spies name blocks at their own risk, and only a debugging malloc looks before it copies. */
    if (actual && !(inner->flags & HM_MALLOC_DEBUG) && hm_owns(inner, actual) == 0) {
        return NULL;
    }
    return hm_realloc_at(inner, actual, HM_SIZE_UNKNOWN, bytes, level, site);
}

static void *resize(hm_malloc *self,
                    void *block,
                    size_t old_size,
                    size_t bytes,
                    hm_level level,
                    hm_site *site,
                    int zero_frees)
{
    hm__spied *s = hm__spied_from(self);
    hm_malloc *inner = s->layer.inner;
    int spied;
    hm_spy *spy = pair_begin(s, block, &spied);
    if (!spy && !zero_frees) {
        return hm_realloc_at(inner, block, old_size, bytes, level, site);
    }
    if (!spy) {
        if (block && !bytes) {
            HM_LOAD(inner->vtbl)->debug_free(inner, block, HM_SIZE_UNKNOWN, 0, site);
            return NULL;
        }
        return move(inner, block, bytes, level, site);
    }
    void *result = NULL;
    void *actual = block;
    if (block && !bytes && !zero_frees) {
        bytes = 1; /* to a spy zero means that the block goes */
    }
    size_t wanted = spy->vtbl->pre_realloc(spy, block, bytes, &actual, spied);
    if (wanted || !bytes) {
        wanted = at_least(wanted, bytes);
        actual = actual ? actual : block;
        if (zero_frees && block && !wanted) {
            hm__spied_set_remove(&s->set, block);
            HM_LOAD(inner->vtbl)->debug_free(inner, actual, HM_SIZE_UNKNOWN, 0, site);
            result = spy->vtbl->post_realloc(spy, NULL, spied);
        } else {
            const int room = hm__spied_set_reserve(&s->set);
            void *moved = room ? move(inner, actual, wanted, level, site) : NULL;
            result = spy->vtbl->post_realloc(spy, moved, spied);
            if (moved) {
                hm__spied_set_remove(&s->set, block);
            }
            if (room) {
                hm__spied_set_add(&s->set, moved ? result : NULL);
            }
        }
    }
    pair_end(s);
    return result;
}

size_t hm__malloc_bytes(hm_malloc *m, const void *block)
{
    hm_block seen;
    if (!block) {
        return HM_SIZE_UNKNOWN;
    }
    const hm_status status = hm_describe(m, block, &seen);
    if (status == HM_E_UNSUPPORTED) {
        return hm_owns(m, block) == 0 ? HM_SIZE_UNKNOWN : hm_size_of(m, block);
    }
    return status == HM_OK && seen.state != HM_BLOCK_FREED ? seen.requested
                                                           : HM_SIZE_UNKNOWN;
}

static void *spied_alloc(hm_malloc *self, size_t size, hm_level level)
{
    return take(self, size, level, NULL);
}

static void spied_free(hm_malloc *self, void *block)
{
    (void)give(self, block, HM_SIZE_UNKNOWN, 0, NULL);
}

static void spied_free_sized(hm_malloc *self, void *block, size_t size)
{
    (void)give(self, block, size, 0, NULL);
}

static void *spied_realloc(hm_malloc *self,
                           void *block,
                           size_t old_size,
                           size_t size,
                           hm_level level,
                           hm_site *site)
{
    return resize(self, block, old_size, size, level, site, 0);
}

static void *spied_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    if (alignment && alignment <= alignof(max_align_t) &&
        !(alignment & (alignment - 1))) {
        return take(self, size, level, site);
    }
    return hm_alloc_aligned_at(inner_of(self), size, alignment, level, site);
}

static size_t spied_size_of(hm_malloc *self, const void *block)
{
    hm__spied *s = hm__spied_from(self);
    int spied;
    hm_spy *spy = block ? pair_begin(s, block, &spied) : NULL;
    if (!spy) {
        return hm_size_of(s->layer.inner, block);
    }
    const void *actual = spy->vtbl->pre_size(spy, block, spied);
    const size_t bytes =
        spy->vtbl->post_size(spy, hm_size_of(s->layer.inner, actual), spied);
    pair_end(s);
    return bytes;
}

static hm_status spied_describe(hm_malloc *self, const void *block, hm_block *out)
{
    hm__spied *s = hm__spied_from(self);
    hm_malloc *inner = s->layer.inner;
    int spied;
    hm_spy *spy = block ? pair_begin(s, block, &spied) : NULL;
    if (!spy) {
        return HM_LOAD(inner->vtbl)->describe(inner, block, out);
    }
    const void *actual = spy->vtbl->pre_size(spy, block, spied);
    const hm_status status = HM_LOAD(inner->vtbl)->describe(inner, actual, out);
    const int known = status == HM_OK && HM_HAS(out, hm_block, requested);
    const size_t bytes =
        spy->vtbl->post_size(spy, known ? out->requested : HM_SIZE_UNKNOWN, spied);
    pair_end(s);
    if (known) {
        out->address = block;
        out->requested = bytes;
    }
    if (known && HM_HAS(out, hm_block, usable)) {
        out->usable = bytes; /* what lies beyond is the spy's */
    }
    return status;
}

static int spied_owns(hm_malloc *self, const void *block)
{
    hm__spied *s = hm__spied_from(self);
    int spied;
    hm_spy *spy = block ? pair_begin(s, block, &spied) : NULL;
    if (!spy) {
        return hm_owns(s->layer.inner, block);
    }
    const void *actual = spy->vtbl->pre_owns(spy, block, spied);
    const int answer =
        spy->vtbl->post_owns(spy, block, spied, hm_owns(s->layer.inner, actual));
    pair_end(s);
    return answer;
}

static void spied_trim(hm_malloc *self)
{
    hm__spied *s = hm__spied_from(self);
    int spied;
    hm_spy *spy = pair_begin(s, NULL, &spied);
    if (!spy) {
        hm_malloc_trim(s->layer.inner);
        return;
    }
    spy->vtbl->pre_trim(spy);
    hm_malloc_trim(s->layer.inner);
    spy->vtbl->post_trim(spy);
    pair_end(s);
}

/* Every block goes at once, and no spy is asked: none of them is freed by its owner. */
static hm_status spied_reset(hm_malloc *self)
{
    hm__spied *s = hm__spied_from(self);
    hm__spies_enter();
    const hm_status status = hm_malloc_reset(s->layer.inner);
    if (status == HM_OK) {
        hm__spied_set_clear(&s->set);
    }
    hm__spied_settle(s);
    hm__spies_leave();
    return status;
}

void hm__spied_pairs(hm_malloc_vtbl *table)
{
    table->alloc = spied_alloc;
    table->free = spied_free;
    table->free_sized = spied_free_sized;
    table->debug_alloc = take;
    table->debug_free = give;
    table->realloc = spied_realloc;
    table->alloc_aligned = spied_alloc_aligned;
    table->size_of = spied_size_of;
    table->describe = spied_describe;
    table->owns = spied_owns;
    table->trim = spied_trim;
    table->reset = spied_reset;
}

void *hm_spied_resize(hm_malloc *m, void *block, size_t bytes, hm_site *site)
{
    return resize(m, block, HM_SIZE_UNKNOWN, bytes, HM_LEVEL_CURRENT, site, 1);
}

size_t hm_spied_size(hm_malloc *m, const void *block)
{
    hm__spied *s = hm__spied_from(m);
    int spied;
    hm_spy *spy = block ? pair_begin(s, block, &spied) : NULL;
    if (!spy) {
        return hm__malloc_bytes(s->layer.inner, block);
    }
    const void *actual = spy->vtbl->pre_size(spy, block, spied);
    const size_t bytes =
        spy->vtbl->post_size(spy, hm__malloc_bytes(s->layer.inner, actual), spied);
    pair_end(s);
    return bytes;
}
