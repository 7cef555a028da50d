/* SPDX-License-Identifier: MIT */
/* Two Lua states in one program, each with a host of its own: one is small and watched, the other has what it wants. */
#include <stdio.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include <hostmalloc/bridges/lua.h>
#include <hostmalloc/hostmalloc.h>

typedef struct guest {
    const char *name;
    const char *spec;
    hm_runtime *runtime;
    hm_malloc *memory;
    lua_State *state;
} guest;

static int open_guest(guest *made)
{
    hm_runtime_opts opts = {.size = sizeof(opts), .name = made->name, .spec = made->spec};
    hm_malloc_opts malloc_opts = {
        .size = sizeof(malloc_opts), .name = "state", .flags = HM_MALLOC_ONE_THREAD};
    hm_error err;
    if (hm_runtime_open(&opts, &made->runtime, &err) != HM_OK ||
        hm_runtime_create_malloc(made->runtime, &malloc_opts, &made->memory, &err) !=
            HM_OK) {
        hm_error_print(&err);
        return 0;
    }
    made->state = hm_lua_newstate_opts(made->memory, NULL, &err);
    if (!made->state) {
        hm_error_print(&err);
        return 0;
    }
    luaL_openlibs(made->state);
    hm_runtime_start(made->runtime);
    return 1;
}

static void run(guest *in, const char *script)
{
    if (luaL_dostring(in->state, script) != LUA_OK) {
        printf("%s: %s\n", in->name, lua_tostring(in->state, -1));
    } else {
        printf("%s: %s\n", in->name, luaL_tolstring(in->state, -1, NULL));
    }
    lua_settop(in->state, 0);
}

static void close_guest(guest *gone)
{
    hm_leaks leaks = {.size = sizeof(leaks)};
    hm_lua_close(gone->state);
    hm_malloc_release(gone->memory);
    hm_runtime_close(gone->runtime, &leaks, NULL);
    printf("%s: closed, %d blocks left\n", gone->name, (int)leaks.blocks);
}

int main(void)
{
    guest small = {.name = "small", .spec = "limit:hard=512K+debug"};
    guest large = {.name = "large", .spec = "default"};
    static const char script[] =
        "t = {} for i = 1, 100000 do t[i] = { i } end return #t .. ' tables'";
    if (!open_guest(&small) || !open_guest(&large)) {
        return 1;
    }
    run(&small, script);
    run(&large, script);
    lua_pushnil(small.state); /* nobody needs the tables it has */
    lua_setglobal(small.state, "t");
    run(&small, "return 'goes on'");
    close_guest(&small);
    run(&large, "return #t .. ' still'");
    close_guest(&large);
    return 0;
}

/* $ lua_two_hosts
 * small: not enough memory
 * large: 100000 tables
 * small: goes on
 * small: closed, 0 blocks left
 * large: 100000 still
 * large: closed, 0 blocks left
 */
