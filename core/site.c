/* SPDX-License-Identifier: MIT */
/* The site table: places in the source, each with one number for the life of the process.
 *
 * A trie keyed by the hash of (file, function, line) finds a site by content; readers follow acquire loads
 * and take no lock, only a place never seen before does. Nodes are never freed or moved. A second table finds
 * the node by number. In front of the trie stands a direct-mapped cache per thread, keyed by the caller's
 * pointers; a hit is confirmed by content, because a caller may have reused the memory for another name. */
#include <hostmalloc/site.h>

#include <stdio.h>
#include <string.h>

#include "lock_internal.h"
#include "memory_internal.h"
#include "os.h"

typedef struct node {
    uint64_t hash;
    struct node *child[4]; /* atomic; by the next two bits of the hash */
    hm_site site;
} node;

#define CHUNK_ENTRIES 4096u
#define CHUNK_COUNT   4096u /* 16 million sites */

static node *root;                          /* atomic */
static const hm_site **chunks[CHUNK_COUNT]; /* atomic; entries atomic */
static uint32_t last_id;                    /* atomic; written under lock */
static hm_lock lock;                        /* guards additions */
static const char *last_file; /* guarded by lock: mostly the next file is the same */

#define CACHE_ENTRIES 256u
typedef struct cache_entry {
    const char *file;
    const char *function;
    hm_site *site;
    uint32_t line;
} cache_entry;

static _Thread_local cache_entry *own_cache;
static uint32_t cache_key;
static uint32_t
    started; /* atomic: 0 not, 1 being done, 2 done with cache, 3 done without */

static void before_fork(void *context)
{
    (void)context;
    hm__lock(&lock);
}

static void after_fork_parent(void *context)
{
    (void)context;
    hm__unlock(&lock);
}

static void after_fork_child(void *context)
{
    (void)context;
    hm__lock_reset(&lock);
}

static hm_fork_hooks fork_hooks = {.size = sizeof fork_hooks,
                                   .rank = HM__FORK_SITE,
                                   .prepare = before_fork,
                                   .parent = after_fork_parent,
                                   .child = after_fork_child};

static void drop_cache(void *cache)
{
    own_cache = NULL;
    hm__memory_free(cache, CACHE_ENTRIES * sizeof(cache_entry));
}

/* 1 when per-thread caches can be had. Threads that meet a start under way go on without. */
static int start(void)
{
    static uint32_t fork_known;
    hm__at_fork_once(&fork_known, &fork_hooks);
    uint32_t state = __atomic_load_n(&started, __ATOMIC_ACQUIRE);
    if (state == 0 && __atomic_compare_exchange_n(&started, &state, 1, 0,
                                                  __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        state = hm__os_key_create(&cache_key, drop_cache) ? 2 : 3;
        __atomic_store_n(&started, state, __ATOMIC_RELEASE);
    }
    return state == 2;
}

static cache_entry *make_cache(void)
{
    cache_entry *cache =
        start() ? hm__memory_alloc(CACHE_ENTRIES * sizeof(cache_entry)) : NULL;
    if (cache && !hm__os_key_set(cache_key, cache)) {
        hm__memory_free(cache, CACHE_ENTRIES * sizeof(cache_entry));
        cache = NULL;
    }
    own_cache = cache;
    return cache;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (; *text; text++) {
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    }
    return (hash ^ 0xff) * 0x100000001b3u; /* "ab","c" is not "a","bc" */
}

static int same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static int
same_place(const hm_site *site, const char *file, const char *function, uint32_t line)
{
    return site->line == line && same_text(site->file, file) &&
           same_text(site->function, function);
}

/* Where the place is, or the empty link where it belongs. */
static node **find_link(
    node **link, uint64_t hash, const char *file, const char *function, uint32_t line)
{
    uint64_t bits = hash;
    node *at;
    while ((at = __atomic_load_n(link, __ATOMIC_ACQUIRE)) != NULL) {
        if (at->hash == hash && same_place(&at->site, file, function, line)) {
            break;
        }
        link = &at->child[bits >> 62];
        bits <<= 2;
    }
    return link;
}

/* Under the lock. */
static const char *keep_file(const char *file)
{
    if (!last_file || strcmp(last_file, file) != 0) {
        const char *copy = hm__memory_copy(file);
        if (!copy) {
            return NULL;
        }
        last_file = copy;
    }
    return last_file;
}

/* Under the lock: give the node the next number. */
static int number(node *made)
{
    const uint32_t id = last_id + 1;
    if (id / CHUNK_ENTRIES >= CHUNK_COUNT) {
        return 0;
    }
    const hm_site ***chunk = &chunks[id / CHUNK_ENTRIES];
    if (!*chunk) {
        const hm_site **fresh = hm__pages_map(CHUNK_ENTRIES * sizeof(hm_site *));
        if (!fresh) {
            return 0;
        }
        __atomic_store_n(chunk, fresh, __ATOMIC_RELEASE);
    }
    made->site.id = id;
    __atomic_store_n(&(*chunk)[id % CHUNK_ENTRIES], &made->site, __ATOMIC_RELEASE);
    __atomic_store_n(&last_id, id, __ATOMIC_RELEASE);
    return 1;
}

/* Under the lock: a copy of the place at an empty link. NULL when there is no memory. */
static node *
add(node **link, uint64_t hash, const char *file, const char *function, uint32_t line)
{
    node *made = hm__memory_alloc(sizeof *made);
    const char *kept_file = made ? keep_file(file) : NULL;
    char *kept_function = kept_file && function ? hm__memory_copy(function) : NULL;
    if (made) {
        made->hash = hash;
        made->site.file = kept_file;
        made->site.function = kept_function;
        made->site.line = line;
    }
    if (!kept_file || (function && !kept_function) || !number(made)) {
        hm__memory_free(kept_function, kept_function ? strlen(kept_function) + 1 : 0);
        hm__memory_free(made, sizeof *made);
        return NULL;
    }
    __atomic_store_n(link, made, __ATOMIC_RELEASE);
    return made;
}

static hm_site *find_or_add(const char *file, const char *function, uint32_t line)
{
    uint64_t hash = hash_text(0xcbf29ce484222325u, file);
    hash = hash_text(hash, function ? function : "\x01");
    hash = (hash ^ line) * 0x9e3779b97f4a7c15u;
    node **link = find_link(&root, hash, file, function, line);
    node *at = __atomic_load_n(link, __ATOMIC_ACQUIRE);
    if (!at) {
        start();
        hm__lock(&lock);
        link = find_link(link, hash, file, function, line);
        at = *link ? *link : add(link, hash, file, function, line);
        hm__unlock(&lock);
    }
    return at ? &at->site : NULL;
}

hm_site *hm_site_intern(const char *file, const char *function, uint32_t line)
{
    if (!file) {
        return NULL;
    }
    cache_entry *cache = own_cache ? own_cache : make_cache();
    if (!cache) {
        return find_or_add(file, function, line);
    }
    const uint64_t mixed = ((uint64_t)(uintptr_t)file ^ line) * 0x9e3779b97f4a7c15u;
    cache_entry *entry = &cache[mixed >> 56];
    if (entry->file == file && entry->line == line && entry->function == function &&
        entry->site && same_place(entry->site, file, function, line)) {
        return entry->site;
    }
    hm_site *site = find_or_add(file, function, line);
    if (site) {
        *entry = (cache_entry){file, function, site, line};
    }
    return site;
}

uint32_t hm_site_id(hm_site *site)
{
    if (!site) {
        return 0;
    }
    uint32_t id = __atomic_load_n(&site->id, __ATOMIC_ACQUIRE);
    if (id == 0) {
        const hm_site *kept =
            find_or_add(site->file ? site->file : "?", site->function, site->line);
        id = kept ? kept->id : 0;
        __atomic_store_n(&site->id, id, __ATOMIC_RELEASE);
    }
    return id;
}

const hm_site *hm_site_from_id(uint32_t id)
{
    if (id == 0 || id > __atomic_load_n(&last_id, __ATOMIC_ACQUIRE)) {
        return NULL;
    }
    const hm_site **chunk =
        __atomic_load_n(&chunks[id / CHUNK_ENTRIES], __ATOMIC_ACQUIRE);
    return __atomic_load_n(&chunk[id % CHUNK_ENTRIES], __ATOMIC_ACQUIRE);
}

uint32_t hm_site_count(void)
{
    return __atomic_load_n(&last_id, __ATOMIC_ACQUIRE);
}

/* What compilers say for the lambda of HM_SITE, which is ours and not the reader's. */
static int function_length(const char *function)
{
    static const char *const ours[] = {"::<lambda", "::(anonymous class)", "::(lambda"};
    size_t length = strlen(function);
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        const char *at = strstr(function, ours[i]);
        length =
            at && (size_t)(at - function) < length ? (size_t)(at - function) : length;
    }
    return (int)length;
}

char *hm_site_text(const hm_site *site, int with_function, char *text, size_t size)
{
    if (size == 0) {
        return text;
    }
    if (!site) {
        snprintf(text, size, "(unknown)");
        return text;
    }
    const char *function = with_function ? site->function : NULL;
    if (function && strncmp(function, "auto ", 5) == 0) {
        function += 5; /* clang's lambda again */
    }
    char line[16] = "";
    if (site->line) {
        snprintf(line, sizeof line, ":%lu", (unsigned long)site->line);
    }
    snprintf(text, size, "%s%s%s%.*s%s", site->file ? site->file : "?", line,
             function ? " (" : "", function ? function_length(function) : 0,
             function ? function : "", function ? ")" : "");
    return text;
}
