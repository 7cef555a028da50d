/* SPDX-License-Identifier: MIT */
/* A real Lua when memory is short, and at work: out of memory at every single request, limits, hosts that refuse to
 * shrink, the example's workload on every host, several states, a state that changes threads. */
#include "lua_guest.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_malloc.h"

/* LuaJIT crashes when one of the first requests of lua_newstate() fails; the bridge sees to it that a malloc that is
   short beforehand refuses the state, but can do nothing about a host that fails in the middle. */
#define FATAL_TO_LUAJIT 9u

/* Every request, or one in @p step, fails, each in a life of its own, until a whole life needs no more. A state may come
   or not, the script may end or not; nothing may leak, no size may be wrong, and "not enough memory" is the only
   error. */
static void
walk_failures(const char *label, uint32_t malloc_flags, int for_good, uint64_t step)
{
    int done = 0;
    uint64_t nth = 0;
    while (!done) {
        fake_malloc fake;
        lua_State *L;
        fake_malloc_init(&fake, malloc_flags);
        fake.fail_from = nth += step;
        fake.fail_once = !for_good;
        if (!NAMES_TYPES && nth <= FATAL_TO_LUAJIT) {
            continue;
        }
        L = hm_lua_newstate(&fake.base);
        if (L) {
            const int status = guest_run(L, GUEST_SCRIPT);
            CHECK_ROW(label, status == 0 || status == LUA_ERRMEM || status == LUA_ERRRUN);
            CHECK_ROW(label, status != 0 || lua_tointeger(L, -1) == GUEST_ANSWER);
            CHECK_ROW(label,
                      status == 0 || strstr(lua_tostring(L, -1), "not enough memory"));
            done = fake.requests < nth;
            hm_lua_close(L);
        }
        CHECK_ROW(label, fake.wrong_sizes == 0 && fake.references == 1);
        CHECK_ROW(label, fake.live == 0);
        fake_malloc_fini(&fake);
    }
    assert_in_range(nth, 500, 100000);
}

static void lua__out_of_memory_once(void **state)
{
    (void)state;
    walk_failures("plain", 0, 0, 1);
    walk_failures("debug", HM_MALLOC_DEBUG, 0, 7);
}

static void lua__out_of_memory_for_good(void **state)
{
    (void)state;
    walk_failures("plain", 0, 1, 1);
    walk_failures("scoped", HM_MALLOC_SCOPED, 1, 7);
}

/* Lua takes a shrink for granted; with a host that refuses every one, a script does not notice. */
static void lua__refused_shrinks_do_not_show(void **state)
{
    static const uint32_t flags[] = {0, HM_MALLOC_DEBUG};
    (void)state;
    for (size_t i = 0; i < COUNT(flags); i++) {
        fake_malloc fake;
        lua_State *L;
        fake_malloc_init(&fake, flags[i]);
        fake.refuse_shrinks = 1;
        L = hm_lua_newstate(&fake.base);
        assert_int_equal(guest_run(L, GUEST_SCRIPT), 0);
        assert_int_equal(lua_tointeger(L, -1), GUEST_ANSWER);
        lua_settop(L, 0);
        lua_gc(L, LUA_GCCOLLECT, 0);
        hm_lua_close(L);
        assert_true(NAMES_TYPES ? fake.shrinks_refused > 0 : fake.plain + fake.debug > 0);
        assert_int_equal(fake.live, 0);
        assert_int_equal(fake.wrong_sizes, 0);
    }
}

static void lua__limit_is_an_error_the_script_survives(void **state)
{
    guest g = guest_open(*state, 0, 400000, HM_LUA_COUNT);
    hm_lua_stats stats;
    assert_int_equal(
        guest_run(g.L, "local t = {} for i = 1, 1e9 do t[i] = i .. ' rows' end"),
        LUA_ERRMEM);
    assert_string_equal(lua_tostring(g.L, -1), "not enough memory");
    hm_lua_stats_now(g.L, &stats);
    assert_true(stats.refused > 0);
    assert_in_range(stats.peak_bytes, 100000, 400000);
    lua_settop(g.L, 0);
    lua_gc(g.L, LUA_GCCOLLECT, 0);
    assert_int_equal(
        guest_run(g.L, "local ok, why = pcall(function() return ('x'):rep(1e6) end) "
                       "assert(not ok and why == 'not enough memory') return 1"),
        0);
    assert_int_equal(guest_run(g.L, GUEST_SCRIPT), 0);
    assert_int_equal(lua_tointeger(g.L, -1), GUEST_ANSWER);
    guest_close(&g);
}

/* A state in a client: within its budget, and everything it has is the client's. */
static void lua__state_of_a_client(void **state)
{
    const hm_runtime_opts opts = {.size = sizeof opts, .spec = "default"};
    const hm_client_opts bounded = {.size = sizeof bounded, .budget = 400000};
    hm_leaks leaks = {.size = sizeof leaks};
    hm_runtime *rt;
    hm_client_key key;
    hm_malloc *m;
    hm_stats stats;
    (void)state;
    assert_int_equal(HM_OK, hm_runtime_open(&opts, &rt, NULL));
    assert_int_equal(HM_OK, hm_runtime_start(rt));
    assert_int_equal(HM_OK, hm_client_open(rt, &bounded, &key, NULL));
    assert_int_equal(HM_OK, hm_client_as_malloc(key, &m, NULL));
    lua_State *L = hm_lua_newstate(m);
    hm_malloc_release(m);
    assert_non_null(L);
    assert_int_equal(guest_run(L, GUEST_SCRIPT), 0);
    assert_int_equal(lua_tointeger(L, -1), GUEST_ANSWER);
    assert_int_equal(
        guest_run(L, "local t = {} for i = 1, 1e9 do t[i] = i .. ' rows' end"),
        LUA_ERRMEM);
    assert_int_equal(HM_OK, hm_client_stats(key, &stats));
    assert_true(stats.live_blocks > 0 && stats.denied > 0);
    assert_in_range(stats.peak_bytes, 100000, 400000);
    /* Told to stop, it can still be closed. */
    assert_int_equal(HM_OK, hm_client_stop(key));
    assert_int_not_equal(guest_run(L, "return ('x'):rep(100000)"), 0);
    hm_lua_close(L);
    assert_int_equal(HM_OK, hm_client_close(key, &leaks, NULL));
    assert_int_equal(leaks.blocks, 0);
    assert_int_equal(HM_OK, hm_runtime_close(rt, NULL, NULL));
}

/* Too little for the state itself. */
static void lua__limit_below_a_state(void **state)
{
    static const size_t limits[] = {1, 300, 1000, 3000};
    for (size_t i = 0; i < COUNT(limits); i++) {
        guest g = guest_open(*state, HM_MALLOC_EXACT, 0, 0);
        const hm_malloc_opts opts = {.size = sizeof(opts), .limit = limits[i]};
        hm_stats stats;
        hm_error err;
        hm_malloc *m;
        assert_int_equal(hm_host_create_malloc_opts(g.host, &opts, &m, &err), HM_OK);
        assert_null(hm_lua_newstate_opts(m, NULL, &err));
        assert_int_equal(err.status, HM_E_NOMEM);
        assert_int_equal(hm_malloc_stats(m, &stats), HM_OK);
        assert_int_equal(stats.live_blocks, 0);
        hm_malloc_release(m);
        guest_close(&g);
    }
}

/* print() into a string, so that runs can be compared. */
static int collect(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "printed");
    lua_pushvalue(L, 1);
    lua_pushstring(L, "\n");
    lua_concat(L, 3);
    lua_setfield(L, LUA_REGISTRYINDEX, "printed");
    return 0;
}

static void printed_by_workload(lua_State *L, char *text, size_t size)
{
    luaL_openlibs(L);
    lua_pushstring(L, "");
    lua_setfield(L, LUA_REGISTRYINDEX, "printed");
    lua_register(L, "print", collect);
    luaL_loadstring(L, "arg = { 0.1 }"); /* a tenth of the example's */
    lua_call(L, 0, 0);
    if (luaL_dofile(L, WORKLOAD) != 0) {
        fail_msg("%s", lua_tostring(L, -1));
    }
    lua_getfield(L, LUA_REGISTRYINDEX, "printed");
    snprintf(text, size, "%s", lua_tostring(L, -1));
}

static void lua__workload_is_the_same_on_every_host(void **state)
{
    guest g = guest_open(*state, HM_MALLOC_ONE_THREAD, 0, 0);
    lua_State *const theirs = luaL_newstate();
    char want[512], got[512];
    printed_by_workload(theirs, want, sizeof(want));
    printed_by_workload(g.L, got, sizeof(got));
    assert_string_equal(got, want);
    assert_non_null(strstr(got, "checksum"));
    lua_close(theirs);
    guest_close(&g);
}

/* Two states on two hosts, in turns; what one does is nothing to the other. */
static void lua__two_states_two_hosts(void **state)
{
    guest ours = guest_open(*state, 0, 0, HM_LUA_COUNT);
    guest other = guest_open("default", 0, 0, HM_LUA_COUNT);
    hm_lua_stats before, after;
    assert_ptr_not_equal(hm_lua_malloc(ours.L), hm_lua_malloc(other.L));
    for (int i = 0; i < 3; i++) {
        hm_lua_stats_now(other.L, &before);
        assert_int_equal(guest_run(ours.L, GUEST_SCRIPT), 0);
        hm_lua_stats_now(other.L, &after);
        assert_memory_equal(&before, &after, sizeof(before));
        assert_int_equal(guest_run(other.L, GUEST_SCRIPT), 0);
    }
    guest_close(&other);
    assert_int_equal(guest_run(ours.L, GUEST_SCRIPT), 0);
    guest_close(&ours);
}

static void *run_on_thread(void *L)
{
    const int status = guest_run(L, "kept = kept or {} for i = 1, 2000 do kept[i] = { i, "
                                    "'x' .. i } end " GUEST_SCRIPT);
    lua_settop(L, 0);
    return status == 0 ? L : NULL;
}

/* An unsynchronised malloc follows its state from thread to thread, also when the last one has exited. */
static void lua__state_moves_between_threads(void **state)
{
    guest g = guest_open(*state, 0, 0, HM_LUA_COUNT);
    hm_lua_stats stats;
    for (int i = 0; i < 4; i++) {
        pthread_t thread;
        void *result;
        assert_int_equal(pthread_create(&thread, NULL, run_on_thread, g.L), 0);
        assert_int_equal(pthread_join(thread, &result), 0);
        assert_ptr_equal(result, g.L);
    }
    assert_ptr_equal(run_on_thread(g.L), g.L);
    hm_lua_stats_now(g.L, &stats);
    assert_int_equal(stats.refused, 0);
    guest_close(&g);
}

int main(void)
{
    static const char *const specs[] = {"default", "mimalloc", "debug", "debug+mimalloc"};
    static const struct CMUnitTest once[] = {
        cmocka_unit_test(lua__out_of_memory_once),
        cmocka_unit_test(lua__out_of_memory_for_good),
        cmocka_unit_test(lua__refused_shrinks_do_not_show),
        cmocka_unit_test(lua__state_of_a_client),
    };
    static const struct CMUnitTest each[] = {
        cmocka_unit_test(lua__limit_is_an_error_the_script_survives),
        cmocka_unit_test(lua__limit_below_a_state),
        cmocka_unit_test(lua__workload_is_the_same_on_every_host),
        cmocka_unit_test(lua__two_states_two_hosts),
        cmocka_unit_test(lua__state_moves_between_threads),
    };
    static struct CMUnitTest tests[COUNT(once) + COUNT(specs) * COUNT(each)];
    memcpy(tests, once, sizeof(once));
    guest_cases(tests + COUNT(once), each, COUNT(each), specs, COUNT(specs));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
