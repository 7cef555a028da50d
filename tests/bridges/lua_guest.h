/* SPDX-License-Identifier: MIT */
/* A real Lua state over a host named by a spec, for the tests of the bridge; the same for Lua 5.4 and LuaJIT. */
#ifndef HM_TESTS_LUA_GUEST_H
#define HM_TESTS_LUA_GUEST_H

#include "check.h"

#include <assert.h>
#include <stdio.h>

#include <lua.h>

#include <lauxlib.h>
#include <lualib.h>

#include <hostmalloc/bridges/lua.h>
#include <hostmalloc/hostmalloc.h>

#ifdef LUAJIT
#define NAMES_TYPES 0
#else
#define NAMES_TYPES 1
#endif

typedef struct guest {
    hm_host *host;
    hm_malloc *m;
    lua_State *L;
} guest;

/* Opens all three; the case is skipped when @p spec asks for a host that was not built. */
static inline guest
guest_open(const char *spec, uint32_t malloc_flags, size_t limit, uint32_t lua_flags)
{
    const hm_malloc_opts malloc_opts = {.size = sizeof(malloc_opts),
                                        .name = "guest",
                                        .flags = malloc_flags,
                                        .limit = limit};
    const hm_lua_opts lua_opts = {.size = sizeof(lua_opts), .flags = lua_flags};
    guest made = {NULL, NULL, NULL};
    hm_error err;
    const hm_status status = hm_host_open(spec, &made.host, &err);
    if (status == HM_E_NOT_FOUND) {
        print_message("skipped, no such host here: %s\n", spec);
        skip();
    }
    if (status != HM_OK ||
        hm_host_create_malloc_opts(made.host, &malloc_opts, &made.m, &err) != HM_OK) {
        fail_msg("%s: %s: %s", spec, err.where, err.what);
    }
    made.L = hm_lua_newstate_opts(made.m, &lua_opts, &err);
    if (!made.L) {
        fail_msg("%s: %s: %s", spec, err.where, err.what);
    }
    return made;
}

/* Closes all three and checks that nothing is left, where the host counts. */
static inline void guest_close(guest *gone)
{
    hm_stats stats;
    assert_int_equal(hm_lua_close(gone->L), HM_OK);
    if (hm_malloc_stats(gone->m, &stats) == HM_OK) {
        assert_int_equal(stats.live_blocks, 0);
        assert_int_equal(stats.live_bytes, 0);
    }
    hm_malloc_release(gone->m);
    hm_host_release(gone->host);
}

typedef struct guest_call {
    const char *script;
    lua_Integer answer;
} guest_call;

static inline int guest_protected(lua_State *L)
{
    guest_call *const call = lua_touserdata(L, 1);
    luaL_openlibs(L);
    if (luaL_loadstring(L, call->script) != 0) {
        return lua_error(L);
    }
    lua_call(L, 0, 1);
    call->answer = lua_tointeger(L, -1);
    return 0;
}

/* Runs a script with all libraries, nothing of it outside a protected call. @return Lua's status; the number the script
   returned, or the message, is on the stack. */
static inline int guest_run(lua_State *L, const char *script)
{
    guest_call call = {script, 0};
    int status;
#if LUA_VERSION_NUM == 501
    status = lua_cpcall(L, guest_protected,
                        &call); /* here a C function takes memory when pushed */
#else
    lua_pushcfunction(L, guest_protected);
    lua_pushlightuserdata(L, &call);
    status = lua_pcall(L, 1, 0, 0);
#endif
    if (status == 0) {
        lua_pushinteger(L, call.answer);
    }
    return status;
}

/* Each case once for each spec, which is its initial state and part of its name. */
static inline void guest_cases(struct CMUnitTest *out,
                               const struct CMUnitTest *cases,
                               size_t case_count,
                               const char *const *specs,
                               size_t spec_count)
{
    static char names[64][96];
    assert(case_count * spec_count <= COUNT(names));
    for (size_t i = 0; i < case_count * spec_count; i++) {
        const char *const spec = specs[i / case_count];
        snprintf(names[i], sizeof(names[i]), "%s (%s)", cases[i % case_count].name, spec);
        out[i] = cases[i % case_count];
        out[i].name = names[i];
        out[i].initial_state = (void *)(uintptr_t)spec;
    }
}

/* A bit of everything: strings, tables that grow and shrink, closures, coroutines, errors caught. */
#define GUEST_SCRIPT                                                                     \
    "local t = {} "                                                                      \
    "for i = 1, 200 do t[i] = { 'item ' .. i, n = i } end "                              \
    "for i = 200, 3, -1 do t[i] = nil end "                                              \
    "local f = {} "                                                                      \
    "for i = 1, 50 do f[i] = function() return t, i end end "                            \
    "local s = '' "                                                                      \
    "for i = 1, 50 do s = s .. i .. ('x'):rep(i) end "                                   \
    "local co = coroutine.wrap(function(a) while true do a = coroutine.yield(a .. 'y') " \
    "end end) "                                                                          \
    "for i = 1, 20 do s = s .. co('z') end "                                             \
    "assert(not pcall(error, {})) "                                                      \
    "table.sort(t, function(a, b) return a.n > b.n end) "                                \
    "return #s + #f"
#define GUEST_ANSWER 1456

#endif
