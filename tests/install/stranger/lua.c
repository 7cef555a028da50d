/* SPDX-License-Identifier: MIT */
/* A stranger's program with a Lua in it, all of whose memory comes from the host named on the command line. */
#include <hostmalloc/bridges/lua.h>
#include <hostmalloc/hostmalloc.h>

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    hm_error err;
    hm_host *host;
    hm_malloc *m;
    int failed = 1;

    if (hm_host_open(argc > 1 ? argv[1] : NULL, &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "script", 0, &m, &err) != HM_OK) {
        hm_error_print(&err);
        return 1;
    }
    lua_State *L = hm_lua_newstate(m);
    if (L) {
        luaL_openlibs(L);
        failed =
            luaL_dostring(L, "local t = {} for i = 1, 1000 do t[i] = ('x'):rep(i) end "
                             "print(#table.concat(t))");
        hm_lua_close(L);
    }
    hm_malloc_release(m);
    hm_host_release(host);
    return failed;
}
