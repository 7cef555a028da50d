/* SPDX-License-Identifier: MIT */
/* The injector: finds libraries by what they define and sets their hooks before they allocate: those that the program is
 * linked with before it starts, those it opens later as soon as the thread that did so comes by.
 *
 * Only that thread looks. Another one would have to wait for the loader, and whoever holds the loader may wait for it. */
#include "inject_internal.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <time.h>

#include "callers_internal.h"
#include "objects_internal.h"
#include "serve_internal.h"
#include "thread_internal.h"

#define HM_BRIDGE_PLAIN
#include <hostmalloc/bridges/cpython.h>
#include <hostmalloc/bridges/curl.h>
#include <hostmalloc/bridges/libgit2.h>
#include <hostmalloc/bridges/libuv.h>
#include <hostmalloc/bridges/libxml2.h>
#include <hostmalloc/bridges/openssl.h>
#include <hostmalloc/bridges/sqlite.h>

/* A library comes after those that it calls from its own initialisation, which setting its hook may be. */
static const hm_bridge *const known[] = {
    &hm_openssl_bridge, &hm_sqlite_bridge, &hm_libxml2_bridge, &hm_libuv_bridge,
    &hm_cpython_bridge, &hm_curl_bridge,   &hm_libgit2_bridge};

#define BRIDGE_COUNT (sizeof known / sizeof known[0])

static hm_host *host;                     /* NULL: no bridges */
static uint32_t wanted;                   /* a bit for each of known */
static char paths[BRIDGE_COUNT][512];     /* "": its library has not come yet */
static uint64_t seen_added, seen_removed; /* the looker's */

static int is_named(const char *list, const char *name)
{
    const size_t length = strlen(name);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, length) == 0 && (!at[length] || at[length] == ',')) {
            return 1;
        }
    }
    return 0;
}

static void *lookup(void *context, const char *name)
{
    return hm__object_symbol(context, name);
}

static hm_site *caller(void *context, void *address)
{
    (void)context;
    return hm__caller_site(address);
}

static void keep_path(char *to, size_t size, const char *path)
{
    const size_t length = strlen(path);
    const char *from = length < size ? path : path + (length - size + 1);
    memcpy(to, from, strlen(from) + 1);
}

/* What it answers, verify answers too. */
static void install(size_t i, const hm__object *object)
{
    const hm_bridge_opts opts = {.size = sizeof opts,
                                 .host = host,
                                 .lookup = lookup,
                                 .lookup_context = (void *)(uintptr_t)object,
                                 .caller = caller};
    keep_path(paths[i], sizeof paths[i], object->path);
    known[i]->install(&opts, NULL);
}

/* Found during the loader's visit, installed after it: a library's own code must not run inside. Of each bridge one. */
typedef struct found_set {
    struct {
        size_t bridge;
        hm__object object;
        char path[sizeof paths[0]]; /* the loader's goes with the object */
    } list[BRIDGE_COUNT];
    size_t count;
    uint32_t pending;
} found_set;

static int look(void *context, const hm__object *object)
{
    found_set *found = context;
    for (size_t i = 0; i < BRIDGE_COUNT; i++) {
        if ((wanted & ~found->pending) >> i & 1 && !paths[i][0] &&
            hm__object_symbol(object, known[i]->symbol)) {
            found->pending |= 1u << i;
            found->list[found->count].bridge = i;
            keep_path(found->list[found->count].path, sizeof paths[0], object->path);
            found->list[found->count].object = *object;
            found->list[found->count].object.path = found->list[found->count].path;
            found->count++;
        }
    }
    return 0;
}

/* Its hook leads to us from now on, and we ask it what became of that: it must stay, whoever closes it. 0: it is gone. */
static int pin(const hm__object *object)
{
    void *handle = dlopen(object->path, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
    const struct link_map *map = NULL;
    return handle && dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 &&
           map->l_addr == object->base;
}

/* In the order of known: one library may use another at once. What is there from the start cannot be closed. */
static void inject(int is_start)
{
    found_set found;
    found.count = 0;
    found.pending = 0;
    hm__objects_visit(look, &found);
    for (size_t i = 0; i < BRIDGE_COUNT; i++) {
        for (size_t at = 0; at < found.count; at++) {
            if (found.list[at].bridge == i && (is_start || pin(&found.list[at].object))) {
                install(i, &found.list[at].object);
            }
        }
    }
}

void hm__preload_inject(hm_host *over, const char *names)
{
    for (size_t i = 0; i < BRIDGE_COUNT; i++) {
        wanted |= !names || is_named(names, known[i]->name) ? 1u << i : 0;
    }
    hm__objects_changes(&seen_added, &seen_removed);
    host = wanted ? over : NULL;
    if (host) {
        inject(1);
    }
}

/* Who called from the loader last; 0 once somebody has looked since. The loader takes one thread at a time and lets it go
   when all it opened is fit to run, so what others opened before is, too. */
static uintptr_t last_loading; /* atomic */
static uint32_t looking;       /* atomic */
static _Thread_local unsigned char is_looking;

#define LOOK_WAITS \
    10 /* of a millisecond: the looker may itself wait for the loader, which this thread holds */

static uintptr_t this_thread(void)
{
    return (uintptr_t)&hm__preload_loaded;
}

void hm__preload_note_loader(void)
{
    hm__preload_loaded = 1;
    if (__atomic_exchange_n(&last_loading, this_thread(), __ATOMIC_SEQ_CST) ==
        this_thread()) {
        return;
    }
    const int kept = errno;
    for (int i = 0;
         i < LOOK_WAITS && !is_looking && __atomic_load_n(&looking, __ATOMIC_SEQ_CST);
         i++) {
        const struct timespec wait = {0, 1000000};
        nanosleep(&wait, NULL);
    }
    errno = kept;
}

static void look_again(void)
{
    const int kept = errno;
    uint64_t added, removed;
    hm__objects_changes(&added, &removed);
    if (removed != seen_removed) {
        hm__callers_forget();
    }
    if (added != seen_added && host) {
        inject(0);
    }
    seen_added = added;
    seen_removed = removed;
    errno = kept;
}

/* While another thread may be in the middle of loading, an object may be listed and not yet be fit to run: that thread looks
   when it is done, and this one asks again until somebody has. */
void hm__preload_inject_loaded(void)
{
    uintptr_t last = __atomic_load_n(&last_loading, __ATOMIC_SEQ_CST);
    uint32_t nobody = 0;
    if (is_looking || hm__thread_state >= HM__THREAD_INSIDE) {
        return;
    }
    if (last == 0) {
        hm__preload_loaded = 0;
        return;
    }
    if (last != this_thread() ||
        !__atomic_compare_exchange_n(&looking, &nobody, 1, 0, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED)) {
        return;
    }
    is_looking = 1;
    if (__atomic_compare_exchange_n(&last_loading, &last, 0, 0, __ATOMIC_SEQ_CST,
                                    __ATOMIC_RELAXED)) {
        hm__preload_loaded = 0;
        look_again();
    }
    is_looking = 0;
    __atomic_store_n(&looking, 0, __ATOMIC_SEQ_CST);
}

int hm__preload_injected(size_t index, hm__injected *out)
{
    for (size_t i = 0; i < BRIDGE_COUNT; i++) {
        if (paths[i][0] && index-- == 0) {
            *out = (hm__injected){known[i], paths[i]};
            return 1;
        }
    }
    return 0;
}
