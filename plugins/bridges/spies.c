/* SPDX-License-Identifier: MIT */
/* Ready-made spies that look or refuse and touch no block: pass-through, counting, fail the Nth. What they keep
 * is atomic only because others read it between pairs. */
#include "spies_internal.h"

#include <string.h>

static uint64_t read_count(const uint64_t *place)
{
    return __atomic_load_n(place, __ATOMIC_RELAXED);
}

static void write_count(uint64_t *place, uint64_t value)
{
    __atomic_store_n(place, value, __ATOMIC_RELAXED);
}

static void add(uint64_t *place, uint64_t more)
{
    write_count(place, read_count(place) + more);
}

hm_status hm__ready_spy_create(const hm_spy_vtbl *vtbl, size_t bytes, hm_spy **out)
{
    if (!out) {
        return HM_E_INVALID;
    }
    hm__ready_spy *ready = hm_core_table()->memory_alloc(bytes);
    *out = NULL;
    if (!ready) {
        return HM_E_NOMEM;
    }
    ready->base.vtbl = vtbl;
    ready->bytes = bytes;
    ready->references = 1;
    *out = &ready->base;
    return HM_OK;
}

void hm__ready_spy_retain(hm_spy *self)
{
    __atomic_fetch_add(&((hm__ready_spy *)self)->references, 1, __ATOMIC_RELAXED);
}

void hm__ready_spy_release(hm_spy *self)
{
    hm__ready_spy *ready = (hm__ready_spy *)self;
    if (__atomic_sub_fetch(&ready->references, 1, __ATOMIC_ACQ_REL) == 0) {
        hm_core_table()->memory_free(ready, ready->bytes);
    }
}

static void pass(hm_spy *self)
{
    (void)self;
}

static size_t pass_size(hm_spy *self, size_t bytes)
{
    (void)self;
    return bytes;
}

static void *pass_actual(hm_spy *self, void *actual)
{
    (void)self;
    return actual;
}

static void *pass_block(hm_spy *self, void *block, int spied)
{
    (void)self, (void)spied;
    return block;
}

static void pass_freed(hm_spy *self, int spied)
{
    (void)self, (void)spied;
}

static size_t
pass_realloc(hm_spy *self, void *block, size_t bytes, void **actual, int spied)
{
    (void)self, (void)spied;
    *actual = block;
    return bytes;
}

static const void *pass_question(hm_spy *self, const void *block, int spied)
{
    (void)self, (void)spied;
    return block;
}

static size_t pass_bytes(hm_spy *self, size_t actual, int spied)
{
    (void)self, (void)spied;
    return actual;
}

static int pass_owner(hm_spy *self, const void *block, int spied, int answer)
{
    (void)self, (void)block, (void)spied;
    return answer;
}

const hm_spy_vtbl *hm_spy_forward(void)
{
    static const hm_spy_vtbl table = {
        .size = sizeof(hm_spy_vtbl),
        .retain = pass,
        .release = pass,
        .pre_alloc = pass_size,
        .post_alloc = pass_actual,
        .pre_free = pass_block,
        .post_free = pass_freed,
        .pre_realloc = pass_realloc,
        .post_realloc = pass_block,
        .pre_size = pass_question,
        .post_size = pass_bytes,
        .pre_owns = pass_question,
        .post_owns = pass_owner,
        .pre_trim = pass,
        .post_trim = pass,
    };
    return &table;
}

typedef struct count_spy {
    hm__ready_spy ready;
    hm_spy_counts counts;
    size_t request;
    int freeing; /* the reallocation under way asks for zero bytes */
} count_spy;

static void count_live(count_spy *c, int born)
{
    add(&c->counts.live, born ? 1 : (uint64_t)-1);
    if (c->counts.live > c->counts.peak) {
        write_count(&c->counts.peak, c->counts.live);
    }
}

static size_t count_pre_alloc(hm_spy *self, size_t bytes)
{
    ((count_spy *)self)->request = bytes;
    return bytes;
}

static void *count_post_alloc(hm_spy *self, void *actual)
{
    count_spy *c = (count_spy *)self;
    if (actual) {
        add(&c->counts.allocs, 1);
        add(&c->counts.bytes, c->request);
        count_live(c, 1);
    } else {
        add(&c->counts.refused, 1);
    }
    return actual;
}

static void count_post_free(hm_spy *self, int spied)
{
    count_spy *c = (count_spy *)self;
    add(&c->counts.frees, 1);
    if (spied) {
        count_live(c, 0);
    }
}

static size_t
count_pre_realloc(hm_spy *self, void *block, size_t bytes, void **actual, int spied)
{
    count_spy *c = (count_spy *)self;
    (void)spied;
    c->request = bytes;
    c->freeing = block && !bytes;
    *actual = block;
    return bytes;
}

static void *count_post_realloc(hm_spy *self, void *actual, int spied)
{
    count_spy *c = (count_spy *)self;
    if (actual || c->freeing) {
        add(&c->counts.reallocs, 1);
        add(&c->counts.bytes, c->request);
    } else {
        add(&c->counts.refused, 1);
    }
    if ((actual != NULL) != (spied && (actual || c->freeing))) {
        count_live(c, actual != NULL);
    }
    return actual;
}

static size_t count_post_size(hm_spy *self, size_t actual, int spied)
{
    (void)spied;
    add(&((count_spy *)self)->counts.sizes, 1);
    return actual;
}

static int count_post_owns(hm_spy *self, const void *block, int spied, int answer)
{
    (void)block, (void)spied;
    add(&((count_spy *)self)->counts.owns, 1);
    return answer;
}

static void count_post_trim(hm_spy *self)
{
    add(&((count_spy *)self)->counts.trims, 1);
}

static const hm_spy_vtbl count_vtbl = {
    .size = sizeof(hm_spy_vtbl),
    .retain = hm__ready_spy_retain,
    .release = hm__ready_spy_release,
    .pre_alloc = count_pre_alloc,
    .post_alloc = count_post_alloc,
    .pre_free = pass_block,
    .post_free = count_post_free,
    .pre_realloc = count_pre_realloc,
    .post_realloc = count_post_realloc,
    .pre_size = pass_question,
    .post_size = count_post_size,
    .pre_owns = pass_question,
    .post_owns = count_post_owns,
    .pre_trim = pass,
    .post_trim = count_post_trim,
};

hm_status hm_spy_count_create(hm_spy **out)
{
    return hm__ready_spy_create(&count_vtbl, sizeof(count_spy), out);
}

hm_status hm_spy_count_read(hm_spy *spy, hm_spy_counts *out)
{
    if (!spy || spy->vtbl != &count_vtbl || !out || out->size < sizeof(out->size)) {
        return HM_E_INVALID;
    }
    const hm_spy_counts *from = &((count_spy *)spy)->counts;
    const hm_spy_counts now = {
        .size = out->size < sizeof(now) ? out->size : sizeof(now),
        .allocs = read_count(&from->allocs),
        .frees = read_count(&from->frees),
        .reallocs = read_count(&from->reallocs),
        .sizes = read_count(&from->sizes),
        .owns = read_count(&from->owns),
        .trims = read_count(&from->trims),
        .refused = read_count(&from->refused),
        .bytes = read_count(&from->bytes),
        .live = read_count(&from->live),
        .peak = read_count(&from->peak),
    };
    memcpy(out, &now, now.size);
    return HM_OK;
}

typedef struct fail_spy {
    hm__ready_spy ready;
    uint64_t first; /* these three are atomic */
    uint64_t count;
    uint64_t seen;
} fail_spy;

static size_t fail_pre_alloc(hm_spy *self, size_t bytes)
{
    fail_spy *f = (fail_spy *)self;
    const uint64_t number = __atomic_add_fetch(&f->seen, 1, __ATOMIC_RELAXED);
    const uint64_t first = read_count(&f->first);
    if (!first || number < first || number - first >= read_count(&f->count)) {
        return bytes;
    }
    /* Zero for zero would be granted; this much never is. */
    return bytes ? 0 : SIZE_MAX;
}

static size_t
fail_pre_realloc(hm_spy *self, void *block, size_t bytes, void **actual, int spied)
{
    (void)spied;
    *actual = block;
    return block && !bytes ? 0 : fail_pre_alloc(self, bytes);
}

static const hm_spy_vtbl fail_vtbl = {
    .size = sizeof(hm_spy_vtbl),
    .retain = hm__ready_spy_retain,
    .release = hm__ready_spy_release,
    .pre_alloc = fail_pre_alloc,
    .post_alloc = pass_actual,
    .pre_free = pass_block,
    .post_free = pass_freed,
    .pre_realloc = fail_pre_realloc,
    .post_realloc = pass_block,
    .pre_size = pass_question,
    .post_size = pass_bytes,
    .pre_owns = pass_question,
    .post_owns = pass_owner,
    .pre_trim = pass,
    .post_trim = pass,
};

hm_status hm_spy_fail_create(uint64_t first, uint64_t count, hm_spy **out)
{
    const hm_status status = hm__ready_spy_create(&fail_vtbl, sizeof(fail_spy), out);
    if (status == HM_OK) {
        (void)hm_spy_fail_set(*out, first, count);
    }
    return status;
}

hm_status hm_spy_fail_set(hm_spy *spy, uint64_t first, uint64_t count)
{
    if (!spy || spy->vtbl != &fail_vtbl) {
        return HM_E_INVALID;
    }
    fail_spy *f = (fail_spy *)spy;
    write_count(&f->seen, 0);
    write_count(&f->count, count);
    write_count(&f->first, first);
    return HM_OK;
}

uint64_t hm_spy_fail_seen(hm_spy *spy)
{
    return spy && spy->vtbl == &fail_vtbl ? read_count(&((fail_spy *)spy)->seen) : 0;
}
