/* SPDX-License-Identifier: MIT */
/* Spied mallocs as objects: made, found, and who spies on them.
 *
 * There are two tables. While nobody spies the object carries the pass-through one, so a call costs what any
 * forwarding layer costs, or nothing for a user who gave the variable to exchange. A call that read its table just
 * before the exchange goes on with the old one, and both are right: the pairs ask again under the lock, and
 * what the pass-through table handles late was born before the spy came. */
#include "spied_internal.h"

#include <string.h>

static hm_lock spies_lock;
static uint32_t spies_owner; /* atomic: the thread that holds the lock, or 0 */
static uint32_t spies_depth; /* how often; guarded by the lock */

/* Both guarded by the lock, written once. */
static hm_malloc_vtbl forward_table;
static hm_malloc_vtbl spied_table;

void hm__spies_enter(void)
{
    const hm_core *core = hm_core_table();
    const uint32_t self = core->thread_id();
    if (__atomic_load_n(&spies_owner, __ATOMIC_RELAXED) != self) {
        core->lock(&spies_lock);
        __atomic_store_n(&spies_owner, self, __ATOMIC_RELAXED);
    }
    spies_depth++;
}

void hm__spies_leave(void)
{
    if (--spies_depth == 0) {
        __atomic_store_n(&spies_owner, 0, __ATOMIC_RELAXED);
        hm_core_table()->unlock(&spies_lock);
    }
}

static void fork_enter(void *context)
{
    (void)context;
    hm__spies_enter();
}

static void fork_leave(void *context)
{
    (void)context;
    hm__spies_leave();
}

/* Before everything else that locks: a spy may call anything while it holds the spies' lock. */
static hm_fork_hooks fork_hooks = {
    .size = sizeof(hm_fork_hooks),
    .rank = 50,
    .prepare = fork_enter,
    .parent = fork_leave,
    .child = fork_leave,
};

static void show(hm__spied *s, const hm_malloc_vtbl *table, hm_malloc *reached)
{
    __atomic_store_n(&s->layer.base.vtbl, table, __ATOMIC_RELEASE);
    if (s->place) {
        __atomic_store_n(s->place, reached, __ATOMIC_RELEASE);
    }
}

static void part(hm__spied *s)
{
    hm_spy *left = s->spy;
    s->spy = NULL;
    s->leaving = 0;
    hm__spied_set_fini(&s->set);
    if (left) {
        show(s, &forward_table, s->layer.inner);
        hm_spy_release(left);
    }
}

int hm__spied_settle(hm__spied *s)
{
    const int leaves = s->leaving && !s->inside && !s->set.count;
    if (leaves) {
        part(s);
    }
    return leaves;
}

static void spied_retain(hm_malloc *self)
{
    __atomic_fetch_add(&hm__spied_from(self)->layer.references, 1, __ATOMIC_RELAXED);
}

static void spied_release(hm_malloc *self)
{
    hm__spied *s = hm__spied_from(self);
    if (__atomic_sub_fetch(&s->layer.references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    hm__spies_enter();
    part(s);
    hm__spies_leave();
    hm_malloc_release(s->layer.inner);
    hm_core_table()->memory_free(s, sizeof *s);
}

static hm_status spied_find(hm_malloc *self, const char *interface_name, void **out)
{
    if (!interface_name || strcmp(interface_name, "spied") != 0) {
        return hm_malloc_find(hm__spied_from(self)->layer.inner, interface_name, out);
    }
    if (!out) {
        return HM_E_INVALID;
    }
    *out = self;
    return HM_OK;
}

static void tables_fill(void)
{
    const hm_core *core = hm_core_table();
    forward_table = *core->malloc_forward;
    forward_table.retain = spied_retain;
    forward_table.release = spied_release;
    forward_table.find = spied_find;
    spied_table = forward_table;
    spied_table.alloc_zeroed = core->malloc_basics->alloc_zeroed;
    spied_table.request = core->malloc_basics->request;
    hm__spied_pairs(&spied_table);
    core->at_fork(&fork_hooks);
}

hm_status
hm_spied_create(hm_malloc *inner, hm_malloc **place, hm_malloc **out, hm_error *err)
{
    const hm_core *core = hm_core_table();
    if (!out) {
        return hm_error_set(err, HM_E_INVALID, "spy", "no place for the malloc");
    }
    *out = NULL;
    const hm_status status = hm_malloc_validate(inner, err);
    if (status != HM_OK) {
        return status;
    }
    hm__spied *s = core->memory_alloc(sizeof *s);
    if (!s) {
        return hm_error_set(err, HM_E_NOMEM, "spy", "no private memory for a malloc");
    }
    hm__spies_enter();
    if (!forward_table.size) {
        tables_fill();
    }
    hm__spies_leave();
    s->layer.base.vtbl = &forward_table;
    s->layer.base.flags = inner->flags;
    s->layer.inner = inner;
    s->layer.references = 1;
    s->layer.bytes = sizeof *s;
    s->place = place;
    hm_malloc_retain(inner);
    *out = &s->layer.base;
    return HM_OK;
}

hm_status hm_spied_find(hm_malloc *m, hm_malloc **out)
{
    void *found = NULL;
    if (!out) {
        return HM_E_INVALID;
    }
    *out = NULL;
    if (!m) {
        return HM_E_INVALID;
    }
    const hm_status status = hm_malloc_find(m, "spied", &found);
    *out = found;
    return status;
}

static hm__spied *ours(hm_malloc *m)
{
    const hm_malloc_vtbl *table = m ? HM_LOAD(m->vtbl) : NULL;
    return table && (table == &forward_table || table == &spied_table) ? hm__spied_from(m)
                                                                       : NULL;
}

static int complete(const hm_spy *spy)
{
    const hm_spy_vtbl *t = spy ? spy->vtbl : NULL;
    return t && t->size >= sizeof(hm_spy_vtbl) && t->retain && t->release &&
           t->pre_alloc && t->post_alloc && t->pre_free && t->post_free &&
           t->pre_realloc && t->post_realloc && t->pre_size && t->post_size &&
           t->pre_owns && t->post_owns && t->pre_trim && t->post_trim;
}

hm_status hm_spied_register(hm_malloc *m, hm_spy *spy)
{
    hm__spied *s = ours(m);
    if (!s || !complete(spy)) {
        return HM_E_INVALID;
    }
    hm__spies_enter();
    const hm_status status = s->spy ? HM_E_EXISTS : HM_OK;
    if (status == HM_OK) {
        hm_spy_retain(spy);
        s->spy = spy;
        show(s, &spied_table, m);
    }
    hm__spies_leave();
    return status;
}

hm_status hm_spied_revoke(hm_malloc *m)
{
    hm__spied *s = ours(m);
    if (!s) {
        return HM_E_INVALID;
    }
    hm__spies_enter();
    hm_status status = HM_E_NOT_FOUND;
    if (s->spy) {
        s->leaving = 1;
        status = hm__spied_settle(s) ? HM_OK : HM_E_STARTED;
    }
    hm__spies_leave();
    return status;
}

int hm_spied_now(hm_malloc *m)
{
    hm__spied *s = ours(m);
    if (!s) {
        return 0;
    }
    hm__spies_enter();
    const int spied = s->spy != NULL;
    hm__spies_leave();
    return spied;
}

size_t hm_spied_blocks(hm_malloc *m)
{
    hm__spied *s = ours(m);
    if (!s) {
        return 0;
    }
    hm__spies_enter();
    const size_t blocks = s->set.count;
    hm__spies_leave();
    return blocks;
}
