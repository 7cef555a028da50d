/* SPDX-License-Identifier: MIT */
/* The lock layer: makes an unsynchronised malloc safe to call from many threads.
 *
 * What is underneath is asked for without HM_MALLOC_THREADSAFE, so it need not lock by itself; every call that
 * reaches it holds this object's lock. A host that is thread-safe anyway only gets slower.
 *
 * Who refuses an allocation underneath may tell its subscribers, and those may free here, on the same thread: so the
 * thread that holds the lock passes. */
#include <hostmalloc/layer.h>

/* Prepared before any host: this layer's locks are held while the host underneath takes its own. */
#define FORK_RANK 900

typedef struct lock_malloc {
    hm_layer_malloc layer;
    hm_lock lock;
    uint32_t holder;          /* atomic: number of the thread that has the lock, or 0 */
    uint32_t depth;           /* guarded by lock: how often it came back */
    struct lock_malloc *next; /* guarded by list_lock, as the next */
    struct lock_malloc *previous;
} lock_malloc;

static const hm_core *core;
static hm_malloc_vtbl malloc_vtbl;
static hm_host_vtbl host_vtbl;

/* Every object, so that fork finds their locks. Taken before any of them. */
static hm_lock list_lock;
static lock_malloc *list;

static lock_malloc *lock_from(hm_malloc *self)
{
    return (lock_malloc *)self; /* layer is the first member, base is its first */
}

/* The object underneath, to be called until leave(). */
static hm_malloc *enter(hm_malloc *self)
{
    lock_malloc *m = lock_from(self);
    const uint32_t thread = core->thread_id();
    if (__atomic_load_n(&m->holder, __ATOMIC_RELAXED) == thread) {
        m->depth++;
    } else {
        core->lock(&m->lock);
        __atomic_store_n(&m->holder, thread, __ATOMIC_RELAXED);
    }
    return m->layer.inner;
}

static void leave(hm_malloc *self)
{
    lock_malloc *m = lock_from(self);
    if (m->depth > 0) {
        m->depth--;
        return;
    }
    __atomic_store_n(&m->holder, 0, __ATOMIC_RELAXED);
    core->unlock(&m->lock);
}

static void lock_release(hm_malloc *self)
{
    lock_malloc *m = lock_from(self);
    if (__atomic_sub_fetch(&m->layer.references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    core->lock(&list_lock);
    if (m->previous) {
        m->previous->next = m->next;
    } else {
        list = m->next;
    }
    if (m->next) {
        m->next->previous = m->previous;
    }
    core->unlock(&list_lock);
    m->layer.references =
        1; /* alone with the object: the ready-made release does the rest */
    core->malloc_forward->release(self);
}

static void *lock_alloc(hm_malloc *self, size_t size, hm_level level)
{
    hm_malloc *inner = enter(self);
    void *block = (HM_LOAD(inner->vtbl)->alloc)(inner, size, level);
    leave(self);
    return block;
}

static void lock_free(hm_malloc *self, void *block)
{
    if (!block) {
        return;
    }
    hm_malloc *inner = enter(self);
    (HM_LOAD(inner->vtbl)->free)(inner, block);
    leave(self);
}

static void lock_free_sized(hm_malloc *self, void *block, size_t size)
{
    if (!block) {
        return;
    }
    hm_malloc *inner = enter(self);
    HM_LOAD(inner->vtbl)->free_sized(inner, block, size);
    leave(self);
}

static void *lock_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    hm_malloc *inner = enter(self);
    void *block = HM_LOAD(inner->vtbl)->debug_alloc(inner, size, level, site);
    leave(self);
    return block;
}

static hm_status lock_debug_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    hm_malloc *inner = enter(self);
    const hm_status status =
        HM_LOAD(inner->vtbl)->debug_free(inner, block, size, alignment, site);
    leave(self);
    return status;
}

static void *lock_realloc(hm_malloc *self,
                          void *block,
                          size_t old_size,
                          size_t size,
                          hm_level level,
                          hm_site *site)
{
    void *moved = hm_realloc_at(enter(self), block, old_size, size, level, site);
    leave(self);
    return moved;
}

static void *lock_alloc_zeroed(
    hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    void *block = hm_alloc_zeroed_at(enter(self), count, size, level, site);
    leave(self);
    return block;
}

static void *lock_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    void *block = hm_alloc_aligned_at(enter(self), size, alignment, level, site);
    leave(self);
    return block;
}

static hm_status lock_request(hm_malloc *self, const hm_request *request, void **out)
{
    const hm_status status = hm_malloc_request(enter(self), request, out);
    leave(self);
    return status;
}

static size_t lock_size_of(hm_malloc *self, const void *block)
{
    const size_t bytes = hm_size_of(enter(self), block);
    leave(self);
    return bytes;
}

static int lock_owns(hm_malloc *self, const void *block)
{
    const int answer = hm_owns(enter(self), block);
    leave(self);
    return answer;
}

static hm_status lock_describe(hm_malloc *self, const void *block, hm_block *out)
{
    hm_malloc *inner = enter(self);
    const hm_status status = HM_LOAD(inner->vtbl)->describe(inner, block, out);
    leave(self);
    return status;
}

static hm_status lock_walk(hm_malloc *self, hm_visit *visit, void *context)
{
    const hm_status status = hm_walk(enter(self), visit, context);
    leave(self);
    return status;
}

static hm_status lock_stats(hm_malloc *self, hm_stats *out)
{
    hm_malloc *inner = enter(self);
    const hm_status status = HM_LOAD(inner->vtbl)->stats(inner, out);
    leave(self);
    return status;
}

static void lock_trim(hm_malloc *self)
{
    hm_malloc_trim(enter(self));
    leave(self);
}

static hm_status lock_reset(hm_malloc *self)
{
    const hm_status status = hm_malloc_reset(enter(self));
    leave(self);
    return status;
}

static void lock_close(hm_malloc *self)
{
    hm_malloc_close(enter(self));
    leave(self);
}

static hm_status lock_create_malloc(hm_host *self,
                                    const hm_malloc_opts *opts,
                                    hm_malloc **out,
                                    hm_error *err)
{
    hm_malloc_opts wanted;
    hm_malloc *inner = NULL;
    *out = NULL;
    hm_status status = core->malloc_opts_read(opts, ~0u, &wanted, err);
    if (status != HM_OK) {
        return status;
    }
    hm_host *below = ((hm_layer_host *)self)->inner;
    wanted.flags &= ~HM_MALLOC_THREADSAFE;
    status = below->vtbl->create_malloc(below, &wanted, &inner, err);
    if (status != HM_OK) {
        return status;
    }
    status = core->malloc_validate(inner, err);
    lock_malloc *m = status == HM_OK ? core->memory_alloc(sizeof *m) : NULL;
    if (!m) {
        if (status == HM_OK) {
            hm_malloc_release(inner);
            status = core->error_set(err, HM_E_NOMEM, "layer:lock",
                                     "no private memory for a malloc object");
        }
        return status;
    }
    hm_layer_malloc_init(&m->layer, &malloc_vtbl, inner, self, sizeof *m);
    if (!(wanted.flags & HM_MALLOC_ONE_THREAD)) {
        m->layer.base.flags |= HM_MALLOC_THREADSAFE;
    }
    core->lock(&list_lock);
    m->next = list;
    if (list) {
        list->previous = m;
    }
    list = m;
    core->unlock(&list_lock);
    *out = &m->layer.base;
    return HM_OK;
}

static hm_status
lock_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    (void)values;
    *out = NULL;
    hm_layer_host *host = core->memory_alloc(sizeof *host);
    if (!host) {
        return core->error_set(err, HM_E_NOMEM, "layer:lock",
                               "no private memory for the layer");
    }
    hm_layer_host_init(host, &host_vtbl, inner, sizeof *host);
    *out = &host->base;
    return HM_OK;
}

static void fork_prepare(void *context)
{
    (void)context;
    core->lock(&list_lock);
    for (lock_malloc *m = list; m; m = m->next) {
        core->lock(&m->lock);
    }
}

/* The one thread of the child is the one that took them. */
static void fork_done(void *context)
{
    (void)context;
    for (lock_malloc *m = list; m; m = m->next) {
        core->unlock(&m->lock);
    }
    core->unlock(&list_lock);
}

static hm_fork_hooks fork_hooks = {.size = sizeof(hm_fork_hooks),
                                   .rank = FORK_RANK,
                                   .prepare = fork_prepare,
                                   .parent = fork_done,
                                   .child = fork_done};

static const hm_host_info info = {
    .size = sizeof(hm_host_info),
    .abi = HM_ABI,
    .kind = HM_KIND_LAYER,
    .name = "lock",
    .summary = "one lock around every call: makes an unsynchronised malloc safe",
    .version = HM_VERSION,
    .open = lock_open,
};
static const hm_host_info *const infos[] = {&info};

static void fill_tables(void)
{
    malloc_vtbl = *core->malloc_forward;
    malloc_vtbl.release = lock_release;
    malloc_vtbl.alloc = lock_alloc;
    malloc_vtbl.free = lock_free;
    malloc_vtbl.free_sized = lock_free_sized;
    malloc_vtbl.debug_alloc = lock_debug_alloc;
    malloc_vtbl.debug_free = lock_debug_free;
    malloc_vtbl.realloc = lock_realloc;
    malloc_vtbl.alloc_zeroed = lock_alloc_zeroed;
    malloc_vtbl.alloc_aligned = lock_alloc_aligned;
    malloc_vtbl.request = lock_request;
    malloc_vtbl.size_of = lock_size_of;
    malloc_vtbl.owns = lock_owns;
    malloc_vtbl.describe = lock_describe;
    malloc_vtbl.walk = lock_walk;
    malloc_vtbl.stats = lock_stats;
    malloc_vtbl.trim = lock_trim;
    malloc_vtbl.reset = lock_reset;
    malloc_vtbl.close = lock_close;
    host_vtbl = *core->host_forward;
    host_vtbl.create_malloc = lock_create_malloc;
}

HM_MODULE_EXPORT hm_status hm_module_describe(const hm_core *from,
                                              const hm_host_info *const **out,
                                              size_t *count)
{
    if (from->abi >> 16 != HM_ABI_MAJOR) {
        return HM_E_ABI;
    }
    if (!core) {
        core = from;
        fill_tables();
        core->at_fork(&fork_hooks);
    }
    *out = infos;
    *count = 1;
    return HM_OK;
}
