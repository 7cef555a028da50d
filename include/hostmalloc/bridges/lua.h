/* SPDX-License-Identifier: MIT */
/**
 * @file lua.h
 * @brief The bridge to Lua: a lua_State that takes all of its memory from a malloc.
 *
 *     lua_State *L = hm_lua_newstate(m);
 *     ... luaL_openlibs(L), luaL_dofile(L, "script.lua") as ever ...
 *     hm_lua_close(L);
 *
 * Scope of the hook: one state with all its coroutines; any number of states, each with its own malloc.
 * Window: creation. Lua never frees through another allocator than the one it allocated from, so a state
 * that luaL_newstate() made stays with libc for good; hm_lua_verify() tells which a state is.
 * What Lua does not tell: what an array is for. New objects come with their type; the parts of tables,
 * stacks, code and buffers do not and count as "lua:other". A free says the size, never the type, so live
 * bytes by type are the debug host's to know. Lua 5.1 and LuaJIT name no types at all ("lua:block"), and LuaJIT's
 * machine code does not come through the hook.
 *
 * Every size Lua hands back is exact, so blocks are freed by size, and a debug host verifies each one. (LuaJIT's are
 * exact until an allocation was refused; from then on the bridge frees without them.)
 * A refused allocation makes Lua collect everything and ask once more; only then does the script see "not
 * enough memory". A refused shrink never reaches Lua.
 *
 * Compiled beside the user's own Lua: 5.1 to 5.5 and LuaJIT, told apart by LUA_VERSION_NUM. Link
 * hostmalloc::bridge_lua, hostmalloc::hostmalloc and that Lua. HM_LUA_PLAIN, defined before the include,
 * leaves out all that needs Lua's headers.
 * Stable since 1.0: structs grow at the end and carry their size.
 */
#ifndef HM_BRIDGES_LUA_H
#define HM_BRIDGES_LUA_H

#include <hostmalloc/malloc.h>

/** What ties one state to one malloc; a block of that malloc itself. */
typedef struct hm_lua hm_lua;

/** lua_Alloc in plain C types: @p old_size is a type when @p block is NULL. */
typedef void *
hm_lua_function(void *bridge, void *block, size_t old_size, size_t new_size);

#define HM_LUA_COUNT \
    0x1u /**< keep what hm_lua_stats_now() answers, whatever the host counts: a few adds a call */
#define HM_LUA_SHARED \
    0x2u /**< the malloc serves others too: hm_lua_close() leaves their blocks alone */

typedef struct hm_lua_opts {
    size_t size;    /**< sizeof(hm_lua_opts) as the caller compiled it */
    uint32_t flags; /**< HM_LUA_*; unknown bits: HM_E_INVALID */
    uint32_t seed;  /**< of string hashes, Lua 5.5 on; 0: one of Lua's choice */
} hm_lua_opts;

HM_STATIC_ASSERT(sizeof(hm_lua_opts) == sizeof(size_t) + 8, "as of 1.0");

/* What a block is for, as far as Lua says; the index into hm_lua_stats.kinds. */
#define HM_LUA_OTHER    0u /**< parts of objects, and types this build does not know */
#define HM_LUA_STRING   1u
#define HM_LUA_TABLE    2u
#define HM_LUA_FUNCTION 3u
#define HM_LUA_USERDATA 4u
#define HM_LUA_THREAD   5u
#define HM_LUA_UPVALUE  6u
#define HM_LUA_PROTO    7u
#define HM_LUA_BLOCK    8u /**< everything, from a Lua that names no types */
#define HM_LUA_KINDS    9u

/** Blocks born as one kind, dead ones included. */
typedef struct hm_lua_kind {
    uint64_t blocks;
    uint64_t bytes; /**< as first asked for */
} hm_lua_kind;

/** What a counting bridge saw, in the bytes Lua asked for. */
typedef struct hm_lua_stats {
    size_t size; /**< sizeof(hm_lua_stats) as the caller compiled it */
    uint64_t allocs;
    uint64_t reallocs;
    uint64_t frees; /**< of blocks; frees of NULL are counted nowhere */
    uint64_t
        refused; /**< allocations and growths answered NULL; Lua asks twice before it gives up */
    uint64_t live_blocks;
    uint64_t live_bytes;
    uint64_t peak_bytes;
    hm_lua_kind kinds[HM_LUA_KINDS];
} hm_lua_stats;

HM_STATIC_ASSERT(sizeof(hm_lua_stats) ==
                     offsetof(hm_lua_stats, allocs) + (7 + 2 * HM_LUA_KINDS) * 8,
                 "as of 1.0");

HM_BEGIN_DECLS

/* The part that needs no Lua, in libhostmalloc_bridge_lua. Its users are the functions below; call these only to
   make a state in a way they do not offer. */

/**
 * Tie a malloc to a state that is about to be made; takes a reference to @p m.
 * @param opts    NULL: all zero
 * @param version LUA_VERSION_NUM of the Lua in use: which types it names, and for 501 that addresses
 *                must fit 47 bits (LuaJIT): a block beyond is given back and refused
 * @param[out] out NULL unless HM_OK; HM_E_INVALID, HM_E_NOMEM
 * @threads distinct
 */
hm_status
hm_lua_attach(hm_malloc *m, const hm_lua_opts *opts, uint32_t version, hm_lua **out);

/**
 * The state is gone, or was never made: reset @p m if it is HM_MALLOC_SCOPED and not HM_LUA_SHARED, give the
 * reference back. NULL does nothing.
 * @return what reset answered
 * @threads distinct
 */
hm_status hm_lua_detach(hm_lua *bridge);

/** The function to give to lua_newstate() and, once that returned, hm_lua_allocator()'s to lua_setallocf():
    this one remembers the first block and passes on. @threads distinct */
void *hm_lua_first(void *bridge, void *block, size_t old_size, size_t new_size);

/** The leanest function that does what this malloc and these flags ask for. @threads any */
hm_lua_function *hm_lua_allocator(const hm_lua *bridge);

/** The bridge behind an allocator function and its user data; NULL when they are not ours. @threads any */
hm_lua *hm_lua_from(hm_lua_function *function, void *user_data);

/** The malloc, without a reference. @threads any */
hm_malloc *hm_lua_malloc_of(const hm_lua *bridge);

/** The site of the first block that came through; NULL before it. @threads any */
const hm_site *hm_lua_first_site(const hm_lua *bridge);

/** The site that stands for a kind: file "lua:string" and so on, no line. NULL beyond HM_LUA_KINDS.
    @threads any */
const hm_site *hm_lua_kind_site(uint32_t kind);

/** @p out->size set by the caller. HM_E_UNSUPPORTED without HM_LUA_COUNT. @threads distinct */
hm_status hm_lua_stats_of(const hm_lua *bridge, hm_lua_stats *out);

HM_END_DECLS

#ifndef HM_LUA_PLAIN

#ifndef lua_h
#ifdef __cplusplus
#include <lua.hpp>
#else
#include <lua.h>
#endif
#endif
#if LUA_VERSION_NUM >= 505
#include <lauxlib.h>
#endif

/* Thread and ownership rules are Lua's: one thread at a time in a state. A malloc made with HM_MALLOC_ONE_THREAD
   keeps its state on that one thread; without it a state may move. */

/** The bridge of a state; NULL when somebody else owns its hook. */
static inline hm_lua *hm_lua_of(lua_State *L)
{
    void *user_data;
    const lua_Alloc function = lua_getallocf(L, &user_data);
    return hm_lua_from(function, user_data);
}

/**
 * lua_newstate() over @p m, with options.
 * The state holds a reference to @p m until hm_lua_close(). A HM_MALLOC_SCOPED malloc belongs to one state at a time,
 * because closing the state frees all of it; HM_LUA_SHARED says otherwise.
 * @param opts NULL: all zero
 * @return NULL when refused, and then @p err says why
 * @threads distinct
 */
static inline lua_State *
hm_lua_newstate_opts(hm_malloc *m, const hm_lua_opts *opts, hm_error *err)
{
    hm_lua *bridge;
    lua_State *L;
    const hm_status status = hm_lua_attach(m, opts, LUA_VERSION_NUM, &bridge);
    if (status != HM_OK) {
        hm_error_set(err, status, "bridge:lua", "%s",
                     status == HM_E_NOMEM ? "the malloc has no room for a state"
                                          : "needs a malloc and known HM_LUA_ flags");
        return NULL;
    }
#if LUA_VERSION_NUM >= 505
    L = lua_newstate(hm_lua_first, bridge,
                     opts && HM_HAS(opts, hm_lua_opts, seed) && opts->seed
                         ? opts->seed
                         : luaL_makeseed(NULL));
#else
    L = lua_newstate(hm_lua_first, bridge);
#endif
    if (!L) {
        hm_lua_detach(bridge);
        hm_error_set(err, HM_E_NOMEM, "bridge:lua",
                     "lua_newstate could not make a state");
        return NULL;
    }
    lua_setallocf(L, hm_lua_allocator(bridge), bridge);
    return L;
}

/** lua_newstate() over @p m; NULL when there is no memory for it. @threads distinct */
static inline lua_State *hm_lua_newstate(hm_malloc *m)
{
    return hm_lua_newstate_opts(m, NULL, NULL);
}

/**
 * lua_close(), then what hm_lua_detach() does. A state that is not ours is only closed. NULL does nothing.
 * lua_close() alone would leave one "lua:bridge" block and the reference to the malloc behind.
 * @threads distinct
 */
static inline hm_status hm_lua_close(lua_State *L)
{
    hm_lua *bridge;
    if (!L) {
        return HM_OK;
    }
    bridge = hm_lua_of(L);
    lua_close(L);
    return hm_lua_detach(bridge);
}

/** The malloc under a state, without a reference; NULL when somebody else owns the hook. @threads distinct */
static inline hm_malloc *hm_lua_malloc(lua_State *L)
{
    return hm_lua_malloc_of(hm_lua_of(L));
}

/** What the state's bridge counted. @p out is zeroed and sized here. HM_E_UNSUPPORTED without HM_LUA_COUNT,
    HM_E_NOT_OWNED when somebody else owns the hook. @threads distinct */
static inline hm_status hm_lua_stats_now(lua_State *L, hm_lua_stats *out)
{
    const hm_lua_stats empty = {sizeof(hm_lua_stats), 0, 0, 0, 0, 0, 0, 0, {{0, 0}}};
    *out = empty;
    return hm_lua_stats_of(hm_lua_of(L), out);
}

/**
 * Is this state's memory ours?
 * @param[out] first HM_OK: the site of the first block Lua took through the bridge; else NULL. NULL allowed
 * @return HM_OK installed; HM_E_NOT_OWNED somebody else owns the hook: the state was made by luaL_newstate() or
 *         lua_newstate(), or lua_setallocf() was called since
 * @threads distinct
 */
static inline hm_status hm_lua_verify(lua_State *L, const hm_site **first, hm_error *err)
{
    const hm_lua *bridge = hm_lua_of(L);
    if (first) {
        *first = hm_lua_first_site(bridge);
    }
    if (!bridge) {
        return hm_error_set(err, HM_E_NOT_OWNED, "bridge:lua",
                            "the state's allocator is not this bridge's: made without "
                            "hm_lua_newstate, or replaced since");
    }
    return HM_OK;
}

#endif

#endif
