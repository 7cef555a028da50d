/* SPDX-License-Identifier: MIT */
/* See lua.h beside it. */
#ifndef lauxlib_h
#define lauxlib_h

#include <lua.h>

unsigned int luaL_makeseed(lua_State *L);

#endif
