/* SPDX-License-Identifier: MIT */
/* The mimalloc host: blocks from mimalloc 2.0 to 3.x.
 *
 * Built as a module, because a libmimalloc.so that was built to override (Debian's is) defines malloc: linked to
 * a program it would replace libc's for the whole process. The core opens modules with RTLD_LOCAL, so its
 * malloc never enters the global scope. With HOSTMALLOC_MIMALLOC_BUILTIN the same source becomes a built-in
 * host, beside a mimalloc that is compiled in without override.
 *
 * Plain objects use the calling thread's default heap, and their slots end in a jump to mimalloc. One-thread
 * objects come to own a heap (mimalloc_heap.c). Objects that must know their blocks (scoped, exact, limited)
 * are the core's wrapping malloc over the same two functions (mimalloc_wrapped.c). */
#include "mimalloc_internal.h"

#include <errno.h>

typedef struct mi_host {
    hm_host base;
    uint32_t references; /* atomic */
} mi_host;

const hm_core *hm__mimalloc_core;

static hm_host_vtbl host_vtbl;
PLAIN hm_malloc_vtbl plain_vtbl;
static hm_malloc_vtbl closed_vtbl;
static const hm_malloc_vtbl *one_thread_vtbl;

static void object_retain(hm_malloc *self)
{
    __atomic_fetch_add(&object_from(self)->references, 1, __ATOMIC_RELAXED);
}

static void object_release(hm_malloc *self)
{
    mi_object *m = object_from(self);
    if (__atomic_sub_fetch(&m->references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    hm_host *host = m->host;
    if (hm__mimalloc_heap_drop(m)) {
        hm__mimalloc_core->memory_free(m, sizeof *m);
    }
    hm_host_release(host);
}

/* Apart, so that the compiler leaves it a branch: a choice of sizes ahead of one call costs every size a cycle. */
__attribute__((noinline, cold)) static void *tiny_alloc(void)
{
    return taken(mi_malloc(SMALLEST));
}

PLAIN void *plain_alloc(hm_malloc *self, size_t size, hm_level level)
{
    (void)self, (void)level;
    return size < SMALLEST ? tiny_alloc() : taken(mi_malloc(size));
}

/* Keeping errno here would cost the jump, and that is 12 to 20 % of a pair. mimalloc's free makes system calls
   only when it gives whole ranges back, and these change errno only where they fail: on memory locked by
   mlockall, or at the system's limit of mappings. The slots below that do not end in a jump keep it always. */
PLAIN void plain_free(hm_malloc *self, void *block)
{
    (void)self;
    give(block);
}

PLAIN void plain_free_sized(hm_malloc *self, void *block, size_t size)
{
    (void)self, (void)size;
    give(block);
}

static void *
plain_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    (void)site;
    return plain_alloc(self, size, level);
}

static hm_status plain_debug_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    (void)size, (void)alignment, (void)site;
    const int saved = errno;
    plain_free(self, block);
    errno = saved;
    return HM_OK;
}

static void *plain_realloc(hm_malloc *self,
                           void *block,
                           size_t old_size,
                           size_t size,
                           hm_level level,
                           hm_site *site)
{
    (void)self, (void)old_size, (void)level, (void)site;
    const int saved = errno;
    void *moved = traded(block, mi_realloc(block, at_least_smallest(size)));
    errno = saved;
    return shrunk_or(moved, block, size);
}

static void *plain_alloc_zeroed(
    hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    (void)self, (void)level, (void)site;
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }
    return taken(mi_zalloc(at_least_smallest(bytes)));
}

static void *plain_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    (void)site;
    if (!is_power_of_two(alignment)) {
        return NULL;
    }
    if (alignment <= SMALLEST) {
        return plain_alloc(self, size, level);
    }
    return taken(mi_malloc_aligned(aligned_bytes(size, alignment), alignment));
}

/* A block may be a wrapped sibling's, which starts behind a header: mimalloc must not be asked about it. */
static size_t plain_size_of(hm_malloc *self, const void *block)
{
    (void)self;
    const size_t bytes = hm__mimalloc_wrapped_bytes(block);
    return bytes ? bytes : mi_usable_size(block);
}

/* mimalloc rounds up to a page without looking whether that fits. */
static size_t plain_good_size(hm_malloc *self, size_t size)
{
    (void)self;
    return size > PTRDIFF_MAX ? size : mi_good_size(at_least_smallest(size));
}

static void plain_trim(hm_malloc *self)
{
    (void)self;
    quietly(mi_collect(true));
}

static void object_close(hm_malloc *self)
{
    __atomic_store_n(&self->vtbl, &closed_vtbl, __ATOMIC_RELAXED);
}

static void host_retain(hm_host *self)
{
    __atomic_fetch_add(&((mi_host *)self)->references, 1, __ATOMIC_RELAXED);
}

static void host_release(hm_host *self)
{
    mi_host *host = (mi_host *)self;
    if (__atomic_sub_fetch(&host->references, 1, __ATOMIC_ACQ_REL) == 0) {
        hm__mimalloc_core->memory_free(host, sizeof *host);
    }
}

static hm_status host_create_malloc(hm_host *self,
                                    const hm_malloc_opts *opts,
                                    hm_malloc **out,
                                    hm_error *err)
{
    const hm_core *core = hm__mimalloc_core;
    hm_malloc_opts wanted;
    *out = NULL;
    /* EXECUTABLE is missing: mimalloc's pages are shared by all objects and hold data. */
    const hm_status status = core->malloc_opts_read(
        opts,
        HM_MALLOC_THREADSAFE | HM_MALLOC_SCOPED | HM_MALLOC_ONE_THREAD | HM_MALLOC_EXACT,
        &wanted, err);
    if (status != HM_OK) {
        return status;
    }
    if (wanted.limit || wanted.flags & (HM_MALLOC_SCOPED | HM_MALLOC_EXACT)) {
        return hm__mimalloc_create_wrapped(self, &wanted, out, err);
    }
    mi_object *m = core->memory_alloc(sizeof *m);
    if (!m) {
        return core->error_set(err, HM_E_NOMEM, "host:mimalloc",
                               "no memory for a malloc object");
    }
    const int one_thread = (wanted.flags & HM_MALLOC_ONE_THREAD) != 0;
    m->base.vtbl = one_thread ? one_thread_vtbl : &plain_vtbl;
    m->base.flags = wanted.flags;
    m->references = 1;
    m->owner = core->thread_id();
    m->host = self;
    hm_host_retain(self);
    *out = &m->base;
    return HM_OK;
}

static hm_status
host_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    (void)values, (void)inner;
    *out = NULL;
    mi_host *host = hm__mimalloc_core->memory_alloc(sizeof *host);
    if (!host) {
        return hm__mimalloc_core->error_set(err, HM_E_NOMEM, "host:mimalloc",
                                            "no memory for the host");
    }
    host->base.vtbl = &host_vtbl;
    host->references = 1;
    *out = &host->base;
    return HM_OK;
}

static char version[] = "mimalloc 00.00.00";

static const hm_host_info info = {
    .size = sizeof(hm_host_info),
    .abi = HM_ABI,
    .kind = HM_KIND_HOST,
    .name = "mimalloc",
    .summary = "blocks from mimalloc, pages from the system",
    .version = version,
    .open = host_open,
};
static const hm_host_info *const infos[] = {&info};

/* The library's own number, which may be newer than the header's: 209 is 2.0.9, 30403 is 3.4.3. */
static void version_write(int number)
{
    const int parts[3] = {number >= 10000 ? number / 10000 : number / 100,
                          number >= 10000 ? number / 100 % 100 : number / 10 % 10,
                          number >= 10000 ? number % 100 : number % 10};
    char *at = version + sizeof "mimalloc" - 1;
    for (int i = 0; i < 3; i++) {
        *at++ = i == 0 ? ' ' : '.';
        if (parts[i] >= 10) {
            *at++ = (char)('0' + parts[i] / 10);
        }
        *at++ = (char)('0' + parts[i] % 10);
    }
    *at = '\0';
}

static void tables_fill(const hm_core *core)
{
    plain_vtbl = *core->malloc_basics;
    plain_vtbl.retain = object_retain;
    plain_vtbl.release = object_release;
    plain_vtbl.alloc = plain_alloc;
    plain_vtbl.free = plain_free;
    plain_vtbl.free_sized = plain_free_sized;
    plain_vtbl.debug_alloc = plain_debug_alloc;
    plain_vtbl.debug_free = plain_debug_free;
    plain_vtbl.realloc = plain_realloc;
    plain_vtbl.alloc_zeroed = plain_alloc_zeroed;
    plain_vtbl.alloc_aligned = plain_alloc_aligned;
    plain_vtbl.size_of = plain_size_of;
    plain_vtbl.good_size = plain_good_size;
    plain_vtbl.trim = plain_trim;
    plain_vtbl.close = object_close;
    core->malloc_closed(&plain_vtbl, &closed_vtbl);
    one_thread_vtbl = hm__mimalloc_heap_start(&plain_vtbl);
    host_vtbl = *core->host_basics;
    host_vtbl.retain = host_retain;
    host_vtbl.release = host_release;
    host_vtbl.create_malloc = host_create_malloc;
}

#ifdef HOSTMALLOC_MIMALLOC_BUILTIN
hm_module_describe_fn hm__mimalloc_describe;
#define hm_module_describe hm__mimalloc_describe
#endif

hm_status
hm_module_describe(const hm_core *core, const hm_host_info *const **list, size_t *count)
{
    if (core->abi >> 16 != HM_ABI_MAJOR || !HM_HAS(core, hm_core, wrap_malloc)) {
        return HM_E_ABI;
    }
    if (!hm__mimalloc_core) {
        hm__mimalloc_core = core;
        MIMALLOC_START();
        version_write(mi_version());
        tables_fill(core);
    }
    *list = infos;
    *count = 1;
    return HM_OK;
}
