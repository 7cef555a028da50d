/* SPDX-License-Identifier: MIT */
/* The bridge under a real Lua, on every host: the hook is live, all of it comes back, sizes are exact, types show. */
#include "lua_guest.h"

#include <string.h>

#include <hostmalloc/debug.h>

static void lua__hook_is_live(void **state)
{
    guest g = guest_open(*state, 0, 0, HM_LUA_COUNT);
    const hm_site *first = NULL;
    hm_lua_stats before, after;
    hm_error err;
    assert_int_equal(hm_lua_verify(g.L, &first, &err), HM_OK);
    assert_string_equal(first->file, NAMES_TYPES ? "lua:thread" : "lua:block");
    assert_ptr_equal(hm_lua_malloc(g.L), g.m);
    hm_lua_stats_now(g.L, &before);
    lua_newuserdata(g.L, 5000);
    hm_lua_stats_now(g.L, &after);
    assert_true(after.live_bytes >= before.live_bytes + 5000);
    guest_close(&g);
}

static void *alien(void *ud, void *block, size_t old_size, size_t new_size)
{
    hm_lua *const bridge = ud;
    return hm_lua_allocator(bridge)(bridge, block, old_size, new_size);
}

/* Somebody else's state, and one of ours that somebody wrapped. */
static void lua__hook_of_somebody_else(void **state)
{
    guest g = guest_open(*state, 0, 0, 0);
    const hm_site *first;
    hm_lua_stats stats;
    hm_lua *const bridge = hm_lua_of(g.L);
    lua_State *const theirs = luaL_newstate();
    hm_error err = {0};
    assert_int_equal(hm_lua_verify(theirs, &first, &err), HM_E_NOT_OWNED);
    assert_null(first);
    assert_string_equal(err.where, "bridge:lua");
    assert_null(hm_lua_malloc(theirs));
    assert_int_equal(hm_lua_stats_now(theirs, &stats), HM_E_NOT_OWNED);
    assert_int_equal(hm_lua_close(theirs), HM_OK);
    lua_setallocf(g.L, alien, bridge);
    assert_int_equal(hm_lua_verify(g.L, NULL, NULL), HM_E_NOT_OWNED);
    lua_setallocf(g.L, hm_lua_allocator(bridge), bridge);
    assert_int_equal(hm_lua_verify(g.L, NULL, NULL), HM_OK);
    guest_close(&g);
}

static void lua__close_leaves_nothing(void **state)
{
    static const struct {
        const char *label;
        uint32_t malloc_flags;
        uint32_t lua_flags;
    } cases[] = {
        {"unsynchronised", 0, 0},
        {"counting", 0, HM_LUA_COUNT},
        {"one thread", HM_MALLOC_ONE_THREAD, 0},
        {"thread-safe", HM_MALLOC_THREADSAFE, 0},
        {"exact", HM_MALLOC_EXACT, 0},
        {"scoped", HM_MALLOC_SCOPED, 0},
        {"scoped, one thread", HM_MALLOC_SCOPED | HM_MALLOC_ONE_THREAD, HM_LUA_COUNT},
        {"scoped, shared", HM_MALLOC_SCOPED, HM_LUA_SHARED},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        guest g = guest_open(*state, cases[i].malloc_flags, 0, cases[i].lua_flags);
        CHECK_ROW(cases[i].label,
                  guest_run(g.L, "return (function() " GUEST_SCRIPT " end)()") == 0);
        CHECK_ROW(cases[i].label, lua_tointeger(g.L, -1) == GUEST_ANSWER);
        guest_close(&g);
    }
}

static void lua__scoped_is_reset(void **state)
{
    guest g = guest_open(*state, HM_MALLOC_SCOPED | HM_MALLOC_EXACT, 0, 0);
    void *const ours = hm_alloc(g.m, 77);
    lua_State *again;
    assert_int_equal(hm_owns(g.m, ours), 1);
    assert_int_equal(hm_lua_close(g.L), HM_OK);
    assert_int_equal(hm_owns(g.m, ours), 0);
    again = hm_lua_newstate(g.m); /* the malloc serves the next state */
    assert_non_null(again);
    assert_int_equal(guest_run(again, GUEST_SCRIPT), 0);
    g.L = again;
    guest_close(&g);
}

/* The bridge and a counting host look at the same calls. */
static void lua__counts_as_the_host_does(void **state)
{
    guest g = guest_open(*state, 0, (size_t)1 << 30, HM_LUA_COUNT);
    hm_lua_stats seen;
    hm_stats stats;
    assert_int_equal(guest_run(g.L, GUEST_SCRIPT), 0);
    assert_int_equal(hm_lua_stats_now(g.L, &seen), HM_OK);
    assert_int_equal(hm_malloc_stats(g.m, &stats), HM_OK);
    assert_int_equal(stats.live_blocks, seen.live_blocks + 1); /* the bridge's own */
    assert_in_range(stats.live_bytes - seen.live_bytes, 1, 1000);
    assert_true(stats.peak_bytes >= seen.peak_bytes);
    assert_int_equal(seen.refused, 0);
    assert_int_equal(stats.failed, 0);
    guest_close(&g);
}

/* Lua hands every size back as it was asked for: a host that checks finds nothing. */
static void lua__sizes_are_exact(void **state)
{
    guest g = guest_open(*state, 0, 0, 0);
    hm_debug *const debug = hm_debug_of_malloc(g.m);
    uint64_t findings = 0;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(guest_run(g.L, GUEST_SCRIPT), 0);
    }
    lua_settop(g.L, 0);
    assert_int_equal(hm_debug_check(debug, NULL), debug ? HM_OK : HM_E_UNSUPPORTED);
    hm_debug_findings(debug, &findings);
    assert_int_equal(findings, 0);
    guest_close(&g);
}

typedef struct kind_counts {
    uint64_t blocks[HM_LUA_KINDS];
} kind_counts;

static int count_block(void *context, const hm_block *block)
{
    kind_counts *const counts = context;
    for (uint32_t kind = 0; block->site && kind < HM_LUA_KINDS; kind++) {
        if (strcmp(block->site->file, hm_lua_kind_site(kind)->file) == 0) {
            counts->blocks[kind]++;
        }
    }
    return 0;
}

static int make_userdata(lua_State *L)
{
    lua_newuserdata(L, 32);
    return 0;
}

static uint64_t grown(lua_State *L, const char *script, uint32_t kind)
{
    hm_malloc *const m = hm_lua_malloc(L);
    kind_counts before = {{0}}, after = {{0}};
    assert_int_equal(luaL_loadstring(L, script), 0);
    lua_gc(L, LUA_GCSTOP, 0);
    assert_int_equal(hm_walk(m, count_block, &before), HM_OK);
    lua_call(L, 0, 0);
    assert_int_equal(hm_walk(m, count_block, &after), HM_OK);
    lua_gc(L, LUA_GCRESTART, 0);
    lua_settop(L, 0);
    return after.blocks[kind] - before.blocks[kind];
}

/* What a script makes is what the debug host shows for the type, to the block. */
static void lua__types_are_sites(void **state)
{
    static const struct {
        const char *label;
        const char *script;
        uint32_t kind;
        uint64_t want;
    } cases[] = {
        {"tables", "for i = 1, 1000 do local t = {} end", HM_LUA_TABLE, 1000},
        {"strings", "for i = 1, 500 do local s = ('x'):rep(i + 99) end", HM_LUA_STRING,
         500},
        {"closures", "for i = 1, 300 do local f = function() return i end end",
         HM_LUA_FUNCTION, 300},
        {"upvalues", "for i = 1, 300 do local f = function() return i end end",
         HM_LUA_UPVALUE, 300},
        {"coroutines", "for i = 1, 100 do coroutine.create(print) end", HM_LUA_THREAD,
         100},
        {"userdata", "for i = 1, 200 do make_userdata() end", HM_LUA_USERDATA, 200},
        {"parts of tables", "for i = 1, 100 do local t = { 1 } end", HM_LUA_OTHER, 100},
    };
    guest g = guest_open(*state, 0, 0, 0);
    if (!NAMES_TYPES || !(g.m->flags & HM_MALLOC_DEBUG)) {
        kind_counts counts = {{0}};
        const hm_status status = hm_walk(g.m, count_block, &counts);
        assert_true(status == HM_E_UNSUPPORTED || counts.blocks[HM_LUA_TABLE] == 0);
        assert_true(status == HM_E_UNSUPPORTED || counts.blocks[HM_LUA_BLOCK] > 0);
    } else {
        luaL_openlibs(g.L);
        lua_register(g.L, "make_userdata", make_userdata);
        for (size_t i = 0; i < COUNT(cases); i++) {
            CHECK_ROW(cases[i].label,
                      grown(g.L, cases[i].script, cases[i].kind) == cases[i].want);
        }
    }
    guest_close(&g);
}

/* A malloc that is closed under a running state: the script meets "not enough memory", and closing frees all. */
static void lua__drained_malloc(void **state)
{
    guest g = guest_open(*state, 0, 0, HM_LUA_COUNT);
    hm_lua_stats stats;
    lua_State *const L = g.L;
    hm_lua *const bridge = hm_lua_of(L);
    assert_int_equal(guest_run(L, "big = {} for i = 1, 1000 do big[i] = { i } end"), 0);
    hm_malloc_close(g.m);
    assert_int_equal(guest_run(L, "local t = {} for i = 1, 1000 do t[i] = { i } end"),
                     LUA_ERRMEM);
    lua_settop(L, 0);
    lua_close(L);
    stats.size = sizeof(stats);
    assert_int_equal(hm_lua_stats_of(bridge, &stats), HM_OK);
    assert_int_equal(stats.live_blocks, 0);
    assert_int_equal(stats.live_bytes, 0);
    assert_int_equal(hm_lua_detach(bridge), HM_OK);
    hm_malloc_release(g.m);
    hm_host_release(g.host);
}

int main(void)
{
    static const char *const specs[] = {"default", "mimalloc", "debug", "debug+mimalloc"};
    static const struct CMUnitTest each[] = {
        cmocka_unit_test(lua__hook_is_live),
        cmocka_unit_test(lua__hook_of_somebody_else),
        cmocka_unit_test(lua__close_leaves_nothing),
        cmocka_unit_test(lua__scoped_is_reset),
        cmocka_unit_test(lua__counts_as_the_host_does),
        cmocka_unit_test(lua__sizes_are_exact),
        cmocka_unit_test(lua__types_are_sites),
        cmocka_unit_test(lua__drained_malloc),
    };
    static struct CMUnitTest tests[COUNT(specs) * COUNT(each)];
    guest_cases(tests, each, COUNT(each), specs, COUNT(specs));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
