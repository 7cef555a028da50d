/* SPDX-License-Identifier: MIT */
/* The Lua bridge's part that needs no Lua: functions of lua_Alloc's signature over a malloc. Each state gets
   the leanest of them for its malloc and options, chosen once, so that no call asks again whether the
   malloc wants sites, whether somebody counts, or how far addresses may reach. */
#define HM_LUA_PLAIN
#include <hostmalloc/bridges/lua.h>

#include <string.h>

/* Lua's own type tags; new objects carry them where the old size would be. */
#define TAG_STRING  4u
#define TAG_THREAD  8u
#define TAG_UPVALUE 9u
#define TAG_PROTO   10u
#define TAGS        11u

/* LuaJIT keeps type bits above an address; so far down is "low". */
#define LOW_ADDRESS_BITS 47

/* More than a new state of LuaJIT takes. */
#define LUAJIT_STATE ((size_t)16384)

static hm_site kind_sites[HM_LUA_KINDS] = {
    {"lua:other", NULL, 0, 0},    {"lua:string", NULL, 0, 0},
    {"lua:table", NULL, 0, 0},    {"lua:function", NULL, 0, 0},
    {"lua:userdata", NULL, 0, 0}, {"lua:thread", NULL, 0, 0},
    {"lua:upvalue", NULL, 0, 0},  {"lua:proto", NULL, 0, 0},
    {"lua:block", NULL, 0, 0},
};
static hm_site bridge_site = {"lua:bridge", NULL, 0, 0};

/* The least that hm_lua_stats can be made of. */
typedef struct counters {
    uint64_t live_bytes;
    uint64_t peak_bytes;
    uint64_t frees;
    uint64_t reallocs;
    uint64_t refused;
    hm_lua_kind kinds[HM_LUA_KINDS];
} counters;

struct hm_lua {
    hm_malloc *malloc_object; /* one reference */
    /* 0, or HM_SIZE_UNKNOWN once a size Lua gives may be less than what the block was asked for: since a host
       refused a shrink, or refused LuaJIT anything (it frees a closure that it could not complete as a
       smaller one). */
    size_t unsure;
    hm_lua_function *function;
    const hm_site *first;
    uint8_t kinds[TAGS];
    uint8_t flags;
    counters count;
};

/* What an allocator function is specialised for. */
#define WITH_SITES 1u
#define WITH_COUNT 2u
#define WITH_LOW   4u
#define VARIANTS   8u

static inline uint32_t kind_of(const hm_lua *bridge, size_t tag)
{
    return tag < TAGS ? bridge->kinds[tag] : bridge->kinds[0];
}

static inline int is_low(const void *block)
{
    return (uint64_t)(uintptr_t)block >> LOW_ADDRESS_BITS == 0;
}

static inline void
give_back(hm_lua *bridge, void *block, size_t size, const unsigned with)
{
    hm_malloc *const m = bridge->malloc_object;
    if (with & WITH_SITES) {
        /* The verdict has no way to Lua; a host that checks reports it by itself. */
        (void)HM_LOAD(m->vtbl)->debug_free(m, block, size | bridge->unsure, 0, NULL);
    } else if (bridge->unsure) {
        (HM_LOAD(m->vtbl)->free)(m, block);
    } else {
        HM_LOAD(m->vtbl)->free_sized(m, block, size);
    }
}

static inline void *take(hm_lua *bridge, uint32_t kind, size_t size, const unsigned with)
{
    hm_malloc *const m = bridge->malloc_object;
    void *block;
    if (with & WITH_SITES) {
        block =
            HM_LOAD(m->vtbl)->debug_alloc(m, size, HM_LEVEL_CURRENT, &kind_sites[kind]);
    } else {
        block = (HM_LOAD(m->vtbl)->alloc)(m, size, HM_LEVEL_CURRENT);
    }
    if (with & WITH_LOW) {
        if (block && !is_low(block)) {
            give_back(bridge, block, size, with);
            block = NULL;
        }
        if (!block) {
            bridge->unsure = HM_SIZE_UNKNOWN;
        }
    }
    return block;
}

/* A resize was refused. Lua relies on a shrink, so the old block stays, larger than Lua will say when it frees it, and
   takes a later growth that fits. A drained malloc refuses like this while the last finalizers run. */
static void *stay(hm_lua *bridge, void *block, size_t old_size, size_t new_size)
{
    if (new_size > old_size &&
        (!bridge->unsure || new_size > hm_size_of(bridge->malloc_object, block))) {
        return NULL;
    }
    bridge->unsure = HM_SIZE_UNKNOWN;
    return block;
}

/* Out of line, so that the commoner calls need no stack frame. */
static __attribute__((noinline)) void *
resize(hm_lua *bridge, void *block, size_t old_size, size_t new_size)
{
    hm_malloc *const m = bridge->malloc_object;
    void *const moved = (HM_LOAD(m->vtbl)->realloc)(m, block, old_size | bridge->unsure,
                                                    new_size, HM_LEVEL_CURRENT, NULL);
    return moved ? moved : stay(bridge, block, old_size, new_size);
}

/* Without realloc: were the new address too high, the old block would be gone already. */
static inline void *resize_low(
    hm_lua *bridge, void *block, size_t old_size, size_t new_size, const unsigned with)
{
    void *const moved = take(bridge, HM_LUA_BLOCK, new_size, with);
    if (!moved) {
        return stay(bridge, block, old_size, new_size);
    }
    memcpy(moved, block, old_size < new_size ? old_size : new_size);
    give_back(bridge, block, old_size, with);
    return moved;
}

static inline void count_live(counters *count, size_t gone, size_t come)
{
    count->live_bytes += (uint64_t)come - gone;
    if (count->live_bytes > count->peak_bytes) {
        count->peak_bytes = count->live_bytes;
    }
}

/* Every allocator function is this one with a constant for @p with. */
static inline __attribute__((always_inline)) void *
serve(void *user_data, void *block, size_t old_size, size_t new_size, const unsigned with)
{
    hm_lua *const bridge = user_data;
    counters *const count = &bridge->count;
    void *result;
    if (!block) {
        const uint32_t kind = kind_of(bridge, old_size);
        if (new_size == 0) {
            return NULL;
        }
        result = take(bridge, kind, new_size, with);
        if ((with & WITH_COUNT) && result) {
            count->kinds[kind].blocks++;
            count->kinds[kind].bytes += new_size;
            count_live(count, 0, new_size);
        }
    } else if (new_size == 0) {
        give_back(bridge, block, old_size, with);
        if (with & WITH_COUNT) {
            count->frees++;
            count->live_bytes -= old_size;
        }
        return NULL;
    } else {
        result = with & WITH_LOW ? resize_low(bridge, block, old_size, new_size, with)
                                 : resize(bridge, block, old_size, new_size);
        if ((with & WITH_COUNT) && result) {
            count->reallocs++;
            count_live(count, old_size, new_size);
        }
    }
    if ((with & WITH_COUNT) && !result) {
        count->refused++;
    }
    return result;
}

#define ALLOCATOR(name, with)                                            \
    static void *name(void *ud, void *block, size_t osize, size_t nsize) \
    {                                                                    \
        return serve(ud, block, osize, nsize, with);                     \
    }

ALLOCATOR(alloc_plain, 0u)
ALLOCATOR(alloc_sites, WITH_SITES)
ALLOCATOR(alloc_count, WITH_COUNT)
ALLOCATOR(alloc_sites_count, WITH_SITES | WITH_COUNT)
ALLOCATOR(alloc_low, WITH_LOW)
ALLOCATOR(alloc_low_sites, WITH_LOW | WITH_SITES)
ALLOCATOR(alloc_low_count, WITH_LOW | WITH_COUNT)
ALLOCATOR(alloc_low_sites_count, WITH_LOW | WITH_SITES | WITH_COUNT)

/* Indexed by what they are specialised for. */
static hm_lua_function *const allocators[VARIANTS] = {
    alloc_plain, alloc_sites,     alloc_count,     alloc_sites_count,
    alloc_low,   alloc_low_sites, alloc_low_count, alloc_low_sites_count,
};

static void name_kinds(hm_lua *bridge, uint32_t version)
{
    if (version < 502) {
        memset(bridge->kinds, HM_LUA_BLOCK, sizeof(bridge->kinds));
        return;
    }
    for (uint32_t tag = TAG_STRING; tag <= TAG_THREAD; tag++) {
        bridge->kinds[tag] = (uint8_t)(HM_LUA_STRING + tag - TAG_STRING);
    }
    if (version >= 504) {
        bridge->kinds[TAG_UPVALUE] = HM_LUA_UPVALUE;
        bridge->kinds[TAG_PROTO] = HM_LUA_PROTO;
    }
}

/* LuaJIT (2.1 of 2022 and later) follows a null pointer when lua_newstate() is refused anything but its first block, so
   a malloc without room for a whole state is refused before. */
static int has_room(hm_malloc *m, uint32_t version)
{
    if (version < 502) {
        void *const probe = hm_alloc_at(m, LUAJIT_STATE, HM_LEVEL_CURRENT, &bridge_site);
        if (!probe) {
            return 0;
        }
        (void)hm_free_sized_at(m, probe, LUAJIT_STATE, &bridge_site);
    }
    return 1;
}

hm_status
hm_lua_attach(hm_malloc *m, const hm_lua_opts *opts, uint32_t version, hm_lua **out)
{
    const uint32_t flags = opts && HM_HAS(opts, hm_lua_opts, flags) ? opts->flags : 0;
    unsigned with = 0;
    hm_lua *bridge;
    if (!out) {
        return HM_E_INVALID;
    }
    *out = NULL;
    if (!m || (flags & ~(HM_LUA_COUNT | HM_LUA_SHARED))) {
        return HM_E_INVALID;
    }
    bridge = hm_alloc_at(m, sizeof(*bridge), HM_LEVEL_CURRENT, &bridge_site);
    if (!bridge) {
        return HM_E_NOMEM;
    }
    if (!has_room(m, version)) {
        (void)hm_free_sized_at(m, bridge, sizeof(*bridge), &bridge_site);
        return HM_E_NOMEM;
    }
    memset(bridge, 0, sizeof(*bridge));
    name_kinds(bridge, version);
    if (m->flags & HM_MALLOC_DEBUG) {
        with |= WITH_SITES;
    }
    if (flags & HM_LUA_COUNT) {
        with |= WITH_COUNT;
    }
    if (version < 502) {
        with |= WITH_LOW;
    }
    bridge->function = allocators[with];
    bridge->flags = (uint8_t)flags;
    bridge->malloc_object = m;
    hm_malloc_retain(m);
    *out = bridge;
    return HM_OK;
}

hm_status hm_lua_detach(hm_lua *bridge)
{
    hm_status status = HM_OK;
    if (bridge) {
        hm_malloc *const m = bridge->malloc_object;
        const int shared = (bridge->flags & HM_LUA_SHARED) != 0;
        (void)hm_free_sized_at(m, bridge, sizeof(*bridge), &bridge_site);
        if ((m->flags & HM_MALLOC_SCOPED) && !shared) {
            status = hm_malloc_reset(m);
        }
        hm_malloc_release(m);
    }
    return status;
}

void *hm_lua_first(void *user_data, void *block, size_t old_size, size_t new_size)
{
    hm_lua *const bridge = user_data;
    void *const result = bridge->function(bridge, block, old_size, new_size);
    if (!bridge->first && !block && result) {
        bridge->first = &kind_sites[kind_of(bridge, old_size)];
    }
    return result;
}

hm_lua_function *hm_lua_allocator(const hm_lua *bridge)
{
    return bridge->function;
}

hm_lua *hm_lua_from(hm_lua_function *function, void *user_data)
{
    if (function == hm_lua_first) {
        return user_data;
    }
    for (unsigned i = 0; i < VARIANTS; i++) {
        if (function == allocators[i]) {
            return user_data;
        }
    }
    return NULL;
}

hm_malloc *hm_lua_malloc_of(const hm_lua *bridge)
{
    return bridge ? bridge->malloc_object : NULL;
}

const hm_site *hm_lua_first_site(const hm_lua *bridge)
{
    return bridge ? bridge->first : NULL;
}

const hm_site *hm_lua_kind_site(uint32_t kind)
{
    return kind < HM_LUA_KINDS ? &kind_sites[kind] : NULL;
}

hm_status hm_lua_stats_of(const hm_lua *bridge, hm_lua_stats *out)
{
    const counters *count;
    hm_lua_stats all = {0};
    if (!out || out->size < sizeof(out->size)) {
        return HM_E_INVALID;
    }
    if (!bridge) {
        return HM_E_NOT_OWNED;
    }
    if (!(bridge->flags & HM_LUA_COUNT)) {
        return HM_E_UNSUPPORTED;
    }
    count = &bridge->count;
    all.size = out->size < sizeof(all) ? out->size : sizeof(all);
    for (uint32_t kind = 0; kind < HM_LUA_KINDS; kind++) {
        all.allocs += count->kinds[kind].blocks;
        all.kinds[kind] = count->kinds[kind];
    }
    all.reallocs = count->reallocs;
    all.frees = count->frees;
    all.refused = count->refused;
    all.live_blocks = all.allocs - all.frees;
    all.live_bytes = count->live_bytes;
    all.peak_bytes = count->peak_bytes;
    memcpy(out, &all, all.size);
    return HM_OK;
}
