/* SPDX-License-Identifier: MIT */
/* The bridge under a guest of our own that speaks Lua 5.5's interface and makes, one by one, the calls a real Lua makes
 * when it pleases: what the allocator functions do is checked call by call, and so are hosts that misbehave. */
#include "check.h"

#include <string.h>

#include <hostmalloc/bridges/lua.h>

#include "fake_malloc.h"

#define STATE_SIZE 200u
#define CHOSEN     4711u

struct lua_State {
    lua_Alloc allocator;
    void *user_data;
    unsigned seed;
};

lua_State *lua_newstate(lua_Alloc f, void *ud, unsigned seed)
{
    lua_State *const L = f(ud, NULL, 8, STATE_SIZE);
    if (L) {
        *L = (lua_State){f, ud, seed};
    }
    return L;
}

void lua_close(lua_State *L)
{
    L->allocator(L->user_data, L, STATE_SIZE, 0);
}

lua_Alloc lua_getallocf(lua_State *L, void **ud)
{
    *ud = L->user_data;
    return L->allocator;
}

void lua_setallocf(lua_State *L, lua_Alloc f, void *ud)
{
    L->allocator = f;
    L->user_data = ud;
}

unsigned int luaL_makeseed(lua_State *L)
{
    assert_null(L);
    return CHOSEN;
}

/* The calls of lmem.c. */
static void *guest_new(lua_State *L, size_t tag, size_t size)
{
    return L->allocator(L->user_data, NULL, tag, size);
}

static void *guest_resize(lua_State *L, void *block, size_t old_size, size_t size)
{
    return L->allocator(L->user_data, block, old_size, size);
}

static void guest_free(lua_State *L, void *block, size_t size)
{
    assert_null(L->allocator(L->user_data, block, size, 0));
}

static void lua55__seed_reaches_lua(void **state)
{
    static const struct {
        const char *label;
        hm_lua_opts opts;
        int given;
        unsigned want;
    } cases[] = {
        {"no options", {0}, 0, CHOSEN},
        {"no seed", {sizeof(hm_lua_opts), 0, 0}, 1, CHOSEN},
        {"a seed", {sizeof(hm_lua_opts), 0, 7}, 1, 7},
        {"options from before there was a seed",
         {offsetof(hm_lua_opts, seed), 0, 7},
         1,
         CHOSEN},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        fake_malloc fake;
        lua_State *L;
        fake_malloc_init(&fake, 0);
        L = hm_lua_newstate_opts(&fake.base, cases[i].given ? &cases[i].opts : NULL,
                                 NULL);
        CHECK_ROW(cases[i].label, L && L->seed == cases[i].want);
        hm_lua_close(L);
        CHECK_ROW(cases[i].label, fake.live == 0 && fake.references == 1);
    }
}

/* Each host flavour gets the slots made for it, never the other pair, with and without counting. */
static void lua55__slots_by_flavour(void **state)
{
    static const struct {
        const char *label;
        uint32_t malloc_flags;
        uint32_t lua_flags;
    } cases[] = {
        {"plain", 0, 0},
        {"plain, counting", 0, HM_LUA_COUNT},
        {"debug", HM_MALLOC_DEBUG, 0},
        {"debug, counting", HM_MALLOC_DEBUG, HM_LUA_COUNT},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const hm_lua_opts opts = {sizeof(opts), cases[i].lua_flags, 0};
        const int debug = (cases[i].malloc_flags & HM_MALLOC_DEBUG) != 0;
        fake_malloc fake;
        lua_State *L;
        char *block;
        fake_malloc_init(&fake, cases[i].malloc_flags);
        L = hm_lua_newstate_opts(&fake.base, &opts, NULL);
        CHECK_ROW(cases[i].label, L != NULL);
        block = guest_new(L, 4, 10);
        memcpy(block, "123456789", 10);
        block = guest_resize(L, block, 10, 1000);
        CHECK_ROW(cases[i].label, strcmp(block, "123456789") == 0);
        block = guest_resize(L, block, 1000, 1000);
        block = guest_resize(L, block, 1000, 5);
        CHECK_ROW(cases[i].label, memcmp(block, "12345", 5) == 0);
        guest_free(L, block, 5);
        hm_lua_close(L);
        CHECK_ROW(cases[i].label, fake.live == 0 && fake.wrong_sizes == 0);
        CHECK_ROW(cases[i].label, debug ? fake.plain + fake.sized == 0 : fake.debug == 0);
        CHECK_ROW(cases[i].label, fake.unsized == 0 && fake.resets == 0);
    }
}

static void lua55__free_of_null_does_nothing(void **state)
{
    fake_malloc fake;
    lua_State *L;
    hm_lua_stats before, after;
    const hm_lua_opts opts = {sizeof(opts), HM_LUA_COUNT, 0};
    (void)state;
    fake_malloc_init(&fake, 0);
    L = hm_lua_newstate_opts(&fake.base, &opts, NULL);
    assert_int_equal(hm_lua_stats_now(L, &before), HM_OK);
    for (size_t old_size = 0; old_size < 20; old_size++) {
        guest_free(L, NULL, old_size);
    }
    assert_int_equal(hm_lua_stats_now(L, &after), HM_OK);
    assert_memory_equal(&before, &after, sizeof(before));
    hm_lua_close(L);
    assert_int_equal(fake.sized + fake.unsized, 2);
}

/* A tag becomes the site of its kind; what we have no name for is "other". */
static void lua55__tags_become_sites(void **state)
{
    static const struct {
        size_t tag;
        uint32_t kind;
        const char *file;
    } cases[] = {
        {0, HM_LUA_OTHER, "lua:other"},       {1, HM_LUA_OTHER, "lua:other"},
        {4, HM_LUA_STRING, "lua:string"},     {5, HM_LUA_TABLE, "lua:table"},
        {6, HM_LUA_FUNCTION, "lua:function"}, {7, HM_LUA_USERDATA, "lua:userdata"},
        {8, HM_LUA_THREAD, "lua:thread"},     {9, HM_LUA_UPVALUE, "lua:upvalue"},
        {10, HM_LUA_PROTO, "lua:proto"},      {11, HM_LUA_OTHER, "lua:other"},
        {SIZE_MAX, HM_LUA_OTHER, "lua:other"}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const hm_lua_opts opts = {sizeof(opts), HM_LUA_COUNT, 0};
        const hm_site *const site = hm_lua_kind_site(cases[i].kind);
        hm_lua_stats before, after;
        fake_malloc fake;
        size_t blocks;
        lua_State *L;
        void *block;
        fake_malloc_init(&fake, HM_MALLOC_DEBUG);
        L = hm_lua_newstate_opts(&fake.base, &opts, NULL);
        blocks = fake_malloc_count(&fake, cases[i].file);
        hm_lua_stats_now(L, &before);
        block = guest_new(L, cases[i].tag, 24);
        hm_lua_stats_now(L, &after);
        CHECK_ROW(cases[i].file,
                  strcmp(site->file, cases[i].file) == 0 && site->line == 0);
        CHECK_ROW(cases[i].file, fake_malloc_count(&fake, cases[i].file) == blocks + 1);
        CHECK_ROW(cases[i].file, after.kinds[cases[i].kind].blocks ==
                                     before.kinds[cases[i].kind].blocks + 1);
        CHECK_ROW(cases[i].file, after.kinds[cases[i].kind].bytes ==
                                     before.kinds[cases[i].kind].bytes + 24);
        block = guest_resize(L, block, 24, 48);
        CHECK_ROW(cases[i].file, fake_malloc_count(&fake, cases[i].file) == blocks + 1);
        guest_free(L, block, 48);
        hm_lua_close(L);
        CHECK_ROW(cases[i].file, fake.live == 0);
    }
    assert_null(hm_lua_kind_site(HM_LUA_KINDS));
}

/* Older Luas number fewer types, or none; theirs must not be taken for the newer ones. */
static void lua55__tags_by_version(void **state)
{
    static const struct {
        const char *label;
        uint32_t version;
        size_t tag;
        uint32_t kind;
    } cases[] = {
        {"5.1 string", 501, 0, HM_LUA_BLOCK},    {"5.1 anything", 501, 99, HM_LUA_BLOCK},
        {"5.2 string", 502, 4, HM_LUA_STRING},   {"5.3 thread", 503, 8, HM_LUA_THREAD},
        {"5.3 prototype", 503, 9, HM_LUA_OTHER}, {"5.4 upvalue", 504, 9, HM_LUA_UPVALUE},
        {"5.4 prototype", 504, 10, HM_LUA_PROTO}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const hm_lua_opts opts = {sizeof(opts), HM_LUA_COUNT, 0};
        hm_lua_stats stats = {.size = sizeof(stats)};
        fake_malloc fake;
        hm_lua *bridge;
        void *block;
        fake_malloc_init(&fake, 0);
        assert_int_equal(hm_lua_attach(&fake.base, &opts, cases[i].version, &bridge),
                         HM_OK);
        block = hm_lua_first(bridge, NULL, cases[i].tag, 16);
        CHECK_ROW(cases[i].label, block != NULL);
        CHECK_ROW(cases[i].label,
                  hm_lua_first_site(bridge) == hm_lua_kind_site(cases[i].kind));
        hm_lua_stats_of(bridge, &stats);
        CHECK_ROW(cases[i].label, stats.kinds[cases[i].kind].blocks == 1);
        hm_lua_allocator(bridge)(bridge, block, 16, 0);
        hm_lua_detach(bridge);
        CHECK_ROW(cases[i].label, fake.live == 0 && fake.references == 1);
    }
}

/* A host that refuses a shrink: Lua must not notice, and a size it gives later is no longer believed. */
static void lua55__shrink_never_fails(void **state)
{
    static const struct {
        const char *label;
        uint32_t flags;
        uint32_t version;
    } cases[] = {
        {"plain", 0, 505},
        {"debug", HM_MALLOC_DEBUG, 505},
        {"low addresses", 0, 501},
        {"low addresses, debug", HM_MALLOC_DEBUG, 501},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        fake_malloc fake;
        hm_lua_function *function;
        hm_lua *bridge;
        void *block;
        fake_malloc_init(&fake, cases[i].flags);
        hm_lua_attach(&fake.base, NULL, cases[i].version, &bridge);
        function = hm_lua_allocator(bridge);
        block = function(bridge, NULL, 4, 100);
        memset(block, 'x', 100);
        fake.refuse_shrinks = 1;
        fake.fail_from = 1;
        CHECK_ROW(cases[i].label, function(bridge, block, 100, 50) == block);
        CHECK_ROW(cases[i].label, function(bridge, block, 50, 50) == block);
        CHECK_ROW(cases[i].label, function(bridge, block, 50, 100) == block);
        CHECK_ROW(cases[i].label, function(bridge, block, 100, 101) == NULL);
        CHECK_ROW(cases[i].label, function(bridge, block, 100, 1) == block);
        CHECK_ROW(cases[i].label, *(char *)block == 'x');
        fake.refuse_shrinks = 0;
        fake.fail_from = 0;
        block = function(bridge, block, 1, 200);
        CHECK_ROW(cases[i].label, block && *(char *)block == 'x');
        CHECK_ROW(cases[i].label, function(bridge, block, 200, 0) == NULL);
        CHECK_ROW(cases[i].label, fake.live == 1 && fake.wrong_sizes == 0);
        hm_lua_detach(bridge);
        fake_malloc_fini(&fake);
    }
}

/* LuaJIT cannot hold an address beyond 47 bits: refused, given back, and a block that should have moved stays. */
static void lua55__high_addresses_are_refused(void **state)
{
    static const uint32_t flags[] = {0, HM_MALLOC_DEBUG};
    (void)state;
    for (size_t i = 0; i < COUNT(flags); i++) {
        fake_malloc fake;
        hm_lua_function *function;
        hm_lua *bridge;
        char *block;
        fake_malloc_init(&fake, flags[i]);
        hm_lua_attach(&fake.base, NULL, 501, &bridge);
        function = hm_lua_allocator(bridge);
        fake.high_at = fake.requests + 1;
        assert_null(function(bridge, NULL, 0, 64));
        assert_int_equal(fake.live, 1);
        block = function(bridge, NULL, 0, 64);
        assert_non_null(block);
        memcpy(block, "kept", 5);
        fake.high_at = fake.requests + 1;
        assert_null(function(bridge, block, 64, 128));
        assert_string_equal(block, "kept");
        fake.high_at = fake.requests + 1;
        assert_ptr_equal(function(bridge, block, 64, 32), block);
        fake.high_at = 0;
        block = function(bridge, block, 32, 128);
        assert_string_equal(block, "kept");
        function(bridge, block, 128, 0);
        hm_lua_detach(bridge);
        assert_int_equal(fake.live, 0);
        assert_int_equal(fake.wrong_sizes, 0);
    }
}

static void lua55__counts_in_and_out(void **state)
{
    const hm_lua_opts opts = {sizeof(opts), HM_LUA_COUNT, 0};
    hm_lua_stats stats;
    fake_malloc fake;
    lua_State *L;
    void *block;
    (void)state;
    fake_malloc_init(&fake, 0);
    L = hm_lua_newstate_opts(&fake.base, &opts, NULL);
    block = guest_new(L, 4, 1000);
    block = guest_resize(L, block, 1000, 3000);
    block = guest_resize(L, block, 3000, 10);
    fake.fail_from = 1;
    assert_null(guest_new(L, 5, 50));
    assert_null(guest_resize(L, block, 10, 20));
    assert_int_equal(hm_lua_stats_now(L, &stats), HM_OK);
    assert_int_equal(stats.allocs, 2);
    assert_int_equal(stats.reallocs, 2);
    assert_int_equal(stats.frees, 0);
    assert_int_equal(stats.refused, 2);
    assert_int_equal(stats.live_blocks, 2);
    assert_int_equal(stats.live_bytes, STATE_SIZE + 10);
    assert_int_equal(stats.peak_bytes, STATE_SIZE + 3000);
    assert_int_equal(stats.kinds[HM_LUA_THREAD].bytes, STATE_SIZE);
    assert_int_equal(stats.kinds[HM_LUA_TABLE].blocks, 0);
    guest_free(L, block, 10);
    hm_lua_stats_now(L, &stats);
    assert_int_equal(stats.frees, 1);
    assert_int_equal(stats.live_bytes, STATE_SIZE);
    hm_lua_close(L);
}

/* Closing a state frees all of a scoped malloc, unless it is shared; one that is not scoped keeps what is not Lua's. */
static void lua55__scoped_is_reset(void **state)
{
    static const struct {
        const char *label;
        uint32_t malloc_flags;
        uint32_t lua_flags;
        size_t left;
    } cases[] = {
        {"unscoped", 0, 0, 1},
        {"scoped", HM_MALLOC_SCOPED, 0, 0},
        {"scoped, shared", HM_MALLOC_SCOPED, HM_LUA_SHARED, 1},
        {"scoped, debug", HM_MALLOC_SCOPED | HM_MALLOC_DEBUG, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const hm_lua_opts opts = {sizeof(opts), cases[i].lua_flags, 0};
        fake_malloc fake;
        lua_State *L;
        fake_malloc_init(&fake, cases[i].malloc_flags);
        L = hm_lua_newstate_opts(&fake.base, &opts, NULL);
        CHECK_ROW(cases[i].label, hm_alloc(&fake.base, 99) != NULL);
        CHECK_ROW(cases[i].label, fake.references == 2);
        CHECK_ROW(cases[i].label, hm_lua_close(L) == HM_OK);
        CHECK_ROW(cases[i].label, fake.live == cases[i].left && fake.references == 1);
        fake_malloc_fini(&fake);
    }
}

static void lua55__newstate_refused(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 2; nth++) {
        hm_error err = {0};
        fake_malloc fake;
        fake_malloc_init(&fake, 0);
        fake.fail_from = nth;
        assert_null(hm_lua_newstate_opts(&fake.base, NULL, &err));
        assert_int_equal(err.status, HM_E_NOMEM);
        assert_string_equal(err.where, "bridge:lua");
        assert_null(hm_lua_newstate(&fake.base));
        assert_int_equal(fake.live, 0);
        assert_int_equal(fake.references, 1);
    }
}

/* A malloc without room for a whole state of LuaJIT refuses it before LuaJIT can crash. */
static void lua55__no_room_for_luajit(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 2; nth++) {
        fake_malloc fake;
        hm_lua *bridge;
        fake_malloc_init(&fake, 0);
        fake.fail_from = nth;
        assert_int_equal(hm_lua_attach(&fake.base, NULL, 501, &bridge), HM_E_NOMEM);
        assert_null(bridge);
        assert_int_equal(fake.live, 0);
        assert_int_equal(fake.references, 1);
    }
}

static void lua55__bad_arguments(void **state)
{
    const hm_lua_opts unknown = {sizeof(unknown), 0x80, 0};
    hm_lua_stats stats = {.size = sizeof(stats)};
    hm_error err = {0};
    fake_malloc fake;
    hm_lua *bridge = (hm_lua *)&fake;
    (void)state;
    fake_malloc_init(&fake, 0);
    assert_int_equal(hm_lua_attach(NULL, NULL, 505, &bridge), HM_E_INVALID);
    assert_null(bridge);
    assert_int_equal(hm_lua_attach(&fake.base, NULL, 505, NULL), HM_E_INVALID);
    assert_int_equal(hm_lua_attach(&fake.base, &unknown, 505, &bridge), HM_E_INVALID);
    assert_null(hm_lua_newstate_opts(&fake.base, &unknown, &err));
    assert_int_equal(err.status, HM_E_INVALID);
    assert_null(hm_lua_newstate(NULL));
    assert_int_equal(hm_lua_detach(NULL), HM_OK);
    assert_int_equal(hm_lua_close(NULL), HM_OK);
    assert_null(hm_lua_malloc_of(NULL));
    assert_null(hm_lua_first_site(NULL));
    assert_int_equal(hm_lua_stats_of(NULL, &stats), HM_E_NOT_OWNED);
    assert_int_equal(hm_lua_attach(&fake.base, NULL, 505, &bridge), HM_OK);
    assert_int_equal(hm_lua_stats_of(bridge, &stats), HM_E_UNSUPPORTED);
    assert_int_equal(hm_lua_stats_of(bridge, NULL), HM_E_INVALID);
    stats.size = 0;
    assert_int_equal(hm_lua_stats_of(bridge, &stats), HM_E_INVALID);
    hm_lua_detach(bridge);
    assert_int_equal(fake.references, 1);
}

/* A caller built against an older, shorter struct gets no more than fits. */
static void lua55__short_stats(void **state)
{
    const hm_lua_opts opts = {sizeof(opts), HM_LUA_COUNT, 0};
    hm_lua_stats stats = {.size = offsetof(hm_lua_stats, frees), .frees = 77};
    fake_malloc fake;
    lua_State *L;
    (void)state;
    fake_malloc_init(&fake, 0);
    L = hm_lua_newstate_opts(&fake.base, &opts, NULL);
    assert_int_equal(hm_lua_stats_of(hm_lua_of(L), &stats), HM_OK);
    assert_int_equal(stats.size, offsetof(hm_lua_stats, frees));
    assert_int_equal(stats.allocs, 1);
    assert_int_equal(stats.frees, 77);
    hm_lua_close(L);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lua55__seed_reaches_lua),
        cmocka_unit_test(lua55__slots_by_flavour),
        cmocka_unit_test(lua55__free_of_null_does_nothing),
        cmocka_unit_test(lua55__tags_become_sites),
        cmocka_unit_test(lua55__tags_by_version),
        cmocka_unit_test(lua55__shrink_never_fails),
        cmocka_unit_test(lua55__high_addresses_are_refused),
        cmocka_unit_test(lua55__counts_in_and_out),
        cmocka_unit_test(lua55__scoped_is_reset),
        cmocka_unit_test(lua55__newstate_refused),
        cmocka_unit_test(lua55__no_room_for_luajit),
        cmocka_unit_test(lua55__bad_arguments),
        cmocka_unit_test(lua55__short_stats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
