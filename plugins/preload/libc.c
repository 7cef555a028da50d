/* SPDX-License-Identifier: MIT */
/* The process's allocator without us. Another one may have been preloaded before us, a sanitizer's for instance: then the
 * program's calls go there, and so do ours. */
#include "libc_internal.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "objects_internal.h"

typedef struct allocator {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
    void *(*memalign)(size_t, size_t);
    size_t (*size_of)(void *);
} allocator;

static allocator own = {__libc_malloc, __libc_calloc,   __libc_realloc,
                        __libc_free,   __libc_memalign, NULL};

int __cxa_atexit(void (*handler)(void *), void *argument, void *object);

#define FIND(object, name) ((uintptr_t)hm__object_symbol(object, name))

typedef struct search {
    allocator first; /* of the first object that has one */
    int is_ours;
    size_t (*size_of)(void *); /* libc's */
} search;

static int look(void *context, const hm__object *object)
{
    search *s = context;
    const uintptr_t found = FIND(object, "malloc");
    if (!found) {
        return 0;
    }
    if (!s->first.malloc && !s->is_ours) {
        const char *path;
        uintptr_t base;
        s->is_ours = hm__object_of((uintptr_t)&own, &path, &base) && base == object->base;
        s->first.malloc = (void *(*)(size_t))found;
        s->first.calloc = (void *(*)(size_t, size_t))FIND(object, "calloc");
        s->first.realloc = (void *(*)(void *, size_t))FIND(object, "realloc");
        s->first.free = (void (*)(void *))FIND(object, "free");
        s->first.memalign = (void *(*)(size_t, size_t))FIND(object, "memalign");
        s->first.size_of = (size_t(*)(void *))FIND(object, "malloc_usable_size");
    }
    if (FIND(object, "__libc_malloc")) {
        s->size_of = (size_t(*)(void *))FIND(object, "malloc_usable_size");
    }
    return 0;
}

int hm__libc_start(void)
{
    search s;
    memset(&s, 0, sizeof s);
    hm__objects_visit(look, &s);
    own.size_of = s.size_of;
    const allocator *first = &s.first;
    if (s.is_ours || !first->malloc || !first->calloc || !first->realloc ||
        !first->free || !first->memalign || !first->size_of) {
        return 0;
    }
    own = *first;
    return 1;
}

size_t hm__libc_size_of(void *block)
{
    return own.size_of(block);
}

void *__wrap_malloc(size_t bytes)
{
    return own.malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return own.calloc(count, bytes);
}

void *__wrap_realloc(void *block, size_t bytes)
{
    return own.realloc(block, bytes);
}

void __wrap_free(void *block)
{
    own.free(block);
}

void *hm__libc_memalign(size_t alignment, size_t bytes)
{
    return own.memalign(alignment, bytes);
}

int __wrap_posix_memalign(void **block, size_t alignment, size_t bytes)
{
    const int kept = errno;
    void *made = own.memalign(alignment, bytes);
    errno = kept;
    if (!made) {
        return ENOMEM;
    }
    *block = made;
    return 0;
}

size_t __wrap_malloc_usable_size(void *block)
{
    return own.size_of(block);
}

/* Of no object: what is said at the end is said after every library's destructors, which still free. */
int __wrap_atexit(void (*handler)(void))
{
    return __cxa_atexit((void (*)(void *))(uintptr_t)handler, NULL, NULL);
}
