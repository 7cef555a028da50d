/* SPDX-License-Identifier: MIT */
/* The jemalloc host: blocks from the system's jemalloc, 5.0 or later.
 *
 * libjemalloc.so defines malloc, and linked to a program it would replace libc's for the whole process. So it is loaded
 * when a host is opened, with local symbols (jemalloc_library.c): its malloc never enters the global scope, and where
 * it cannot be loaded that is what open says. Debian's wants 2.6 KiB of static thread-local storage, more than glibc
 * keeps for libraries that come late, unless the process was started with
 * GLIBC_TUNABLES=glibc.rtld.optional_static_tls=4096.
 *
 * Plain objects are jemalloc behind a table. Objects that must know their blocks (scoped, exact, limited) are the core's
 * wrapping malloc over the same two functions (exact.c). */
#include "exact_internal.h"
#include "jemalloc_internal.h"

#include <errno.h>

/* Below this jemalloc aligns to 8 only. */
#define SMALLEST ((size_t)16)

#define ALL_ARENAS "4096" /* MALLCTL_ARENAS_ALL as text */

/* libjemalloc is not instrumented: without these a race detector takes a block that one thread frees and another
   then gets for a race. */
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifdef UNDER_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define GIVEN(block) __tsan_release(block)
static inline void *taken(void *block)
{
    __tsan_acquire(block);
    return block;
}
#else
#define GIVEN(block) ((void)0)
#define taken(block) (block)
#endif

typedef struct je_host {
    hm_host base;
    uint32_t references; /* atomic */
} je_host;

typedef struct je_object {
    hm_malloc base;
    uint32_t references; /* atomic */
    hm_host *host;       /* one reference */
} je_object;

static const hm_core *core;
static hm_host_vtbl host_vtbl;
static hm_malloc_vtbl plain_vtbl;

HM_STATIC_ASSERT(MALLCTL_ARENAS_ALL == 4096, "ALL_ARENAS is its text");

static inline size_t at_least_smallest(size_t size)
{
    return size < SMALLEST ? SMALLEST : size;
}

static je_object *object_from(hm_malloc *self)
{
    return (je_object *)self; /* base is the first member */
}

static void object_retain(hm_malloc *self)
{
    __atomic_fetch_add(&object_from(self)->references, 1, __ATOMIC_RELAXED);
}

/* Its blocks are jemalloc's, and stay. */
static void object_release(hm_malloc *self)
{
    je_object *m = object_from(self);
    if (__atomic_sub_fetch(&m->references, 1, __ATOMIC_ACQ_REL) == 0) {
        hm_host *host = m->host;
        core->memory_free(m, sizeof *m);
        hm_host_release(host);
    }
}

static void *plain_alloc(hm_malloc *self, size_t size, hm_level level)
{
    (void)self, (void)level;
    return taken(hm__jemalloc.mallocx(at_least_smallest(size), 0));
}

static void plain_free(hm_malloc *self, void *block)
{
    (void)self;
    if (block) {
        const int kept = errno;
        GIVEN(block);
        hm__jemalloc.dallocx(block, 0);
        errno = kept;
    }
}

static void plain_free_sized(hm_malloc *self, void *block, size_t size)
{
    (void)self;
    if (block) {
        const int kept = errno;
        GIVEN(block);
        hm__jemalloc.sdallocx(block, at_least_smallest(size), 0);
        errno = kept;
    }
}

static void *plain_realloc(hm_malloc *self,
                           void *block,
                           size_t old_size,
                           size_t size,
                           hm_level level,
                           hm_site *site)
{
    (void)old_size, (void)site;
    if (!block) {
        return plain_alloc(self, size, level);
    }
    const int kept = errno;
    GIVEN(block);
    void *moved = hm__jemalloc.rallocx(block, at_least_smallest(size), 0);
    if (!moved && size <= hm__jemalloc.sallocx(block, 0)) {
        moved = block; /* no memory to move to, but a shrink never fails */
    }
    errno = kept;
    return moved ? taken(moved) : NULL;
}

static void *plain_alloc_zeroed(
    hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    (void)self, (void)level, (void)site;
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }
    return taken(hm__jemalloc.mallocx(at_least_smallest(bytes), MALLOCX_ZERO));
}

static void *plain_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    (void)self, (void)level, (void)site;
    if (!alignment || (alignment & (alignment - 1)) || size > PTRDIFF_MAX ||
        alignment > PTRDIFF_MAX - size) {
        return NULL;
    }
    return taken(hm__jemalloc.mallocx(at_least_smallest(size), MALLOCX_ALIGN(alignment)));
}

static size_t plain_size(const void *block)
{
    return hm__jemalloc.sallocx(block, 0);
}

/* A block may be a wrapped sibling's, which starts behind a header: jemalloc must not be asked about it. */
static size_t plain_size_of(hm_malloc *self, const void *block)
{
    (void)self;
    const size_t bytes = block ? hm__exact_size(block) : 0;
    return bytes || !block ? bytes : plain_size(block);
}

/* nallocx answers 0 for what no allocation can have. */
static size_t plain_good_size(hm_malloc *self, size_t size)
{
    (void)self;
    const size_t good = hm__jemalloc.nallocx(at_least_smallest(size), 0);
    return good < size ? size : good;
}

static void plain_trim(hm_malloc *self)
{
    (void)self;
    const int kept = errno;
    hm__jemalloc.mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    hm__jemalloc.mallctl("arena." ALL_ARENAS ".purge", NULL, NULL, NULL, 0);
    errno = kept;
}

/* For exact objects. */
static void *allocator_alloc(void *context, size_t bytes)
{
    (void)context;
    return taken(hm__jemalloc.mallocx(at_least_smallest(bytes), 0));
}

static void allocator_release(void *context, void *block, size_t bytes)
{
    (void)context;
    GIVEN(block);
    hm__jemalloc.sdallocx(block, at_least_smallest(bytes), 0);
}

static const hm_allocator allocator = {.size = sizeof(hm_allocator),
                                       .alloc = allocator_alloc,
                                       .release = allocator_release,
                                       .flags = HM_ALLOCATOR_THREADSAFE};
static exact_kin kin = {
    .where = "host:jemalloc", .allocator = &allocator, .plain_size = plain_size};

static void host_retain(hm_host *self)
{
    __atomic_fetch_add(&((je_host *)self)->references, 1, __ATOMIC_RELAXED);
}

static void host_release(hm_host *self)
{
    je_host *host = (je_host *)self;
    if (__atomic_sub_fetch(&host->references, 1, __ATOMIC_ACQ_REL) == 0) {
        core->memory_free(host, sizeof *host);
    }
}

static hm_status host_create_malloc(hm_host *self,
                                    const hm_malloc_opts *opts,
                                    hm_malloc **out,
                                    hm_error *err)
{
    hm_malloc_opts wanted;
    *out = NULL;
    /* EXECUTABLE is missing: jemalloc's pages are shared by all objects and hold data. */
    const hm_status status = core->malloc_opts_read(
        opts,
        HM_MALLOC_THREADSAFE | HM_MALLOC_SCOPED | HM_MALLOC_ONE_THREAD | HM_MALLOC_EXACT,
        &wanted, err);
    if (status != HM_OK) {
        return status;
    }
    if (wanted.limit || wanted.flags & (HM_MALLOC_SCOPED | HM_MALLOC_EXACT)) {
        return hm__exact_create(&kin, self, &wanted, out, err);
    }
    je_object *m = core->memory_alloc(sizeof *m);
    if (!m) {
        return core->error_set(err, HM_E_NOMEM, "host:jemalloc",
                               "no private memory for a malloc object");
    }
    m->base.vtbl = &plain_vtbl;
    m->base.flags = wanted.flags;
    m->references = 1;
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
    const hm_status status = hm__jemalloc_load(core, err);
    if (status != HM_OK) {
        return status;
    }
    je_host *host = core->memory_alloc(sizeof *host);
    if (!host) {
        return core->error_set(err, HM_E_NOMEM, "host:jemalloc",
                               "no private memory for the host");
    }
    host->base.vtbl = &host_vtbl;
    host->references = 1;
    *out = &host->base;
    return HM_OK;
}

#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)

static const hm_host_info info = {
    .size = sizeof(hm_host_info),
    .abi = HM_ABI,
    .kind = HM_KIND_HOST,
    .name = "jemalloc",
    .summary = "blocks from jemalloc, pages from the system",
    .version = "jemalloc " TEXT(JEMALLOC_VERSION_MAJOR) "." TEXT(
        JEMALLOC_VERSION_MINOR) "." TEXT(JEMALLOC_VERSION_BUGFIX),
    .open = host_open,
};
static const hm_host_info *const infos[] = {&info};

static void tables_fill(void)
{
    kin.core = core;
    plain_vtbl = *core->malloc_basics;
    plain_vtbl.retain = object_retain;
    plain_vtbl.release = object_release;
    plain_vtbl.alloc = plain_alloc;
    plain_vtbl.free = plain_free;
    plain_vtbl.free_sized = plain_free_sized;
    plain_vtbl.realloc = plain_realloc;
    plain_vtbl.alloc_zeroed = plain_alloc_zeroed;
    plain_vtbl.alloc_aligned = plain_alloc_aligned;
    plain_vtbl.size_of = plain_size_of;
    plain_vtbl.good_size = plain_good_size;
    plain_vtbl.trim = plain_trim;
    host_vtbl = *core->host_basics;
    host_vtbl.retain = host_retain;
    host_vtbl.release = host_release;
    host_vtbl.create_malloc = host_create_malloc;
}

HM_MODULE_EXPORT hm_status hm_module_describe(const hm_core *from,
                                              const hm_host_info *const **list,
                                              size_t *count)
{
    if (from->abi >> 16 != HM_ABI_MAJOR || !HM_HAS(from, hm_core, wrap_malloc)) {
        return HM_E_ABI;
    }
    if (!core) {
        core = from;
        tables_fill();
    }
    *list = infos;
    *count = sizeof infos / sizeof infos[0];
    return HM_OK;
}
