/* SPDX-License-Identifier: MIT */
/* As much of Lua 5.5's interface as the bridge uses, declared from its manual, so that the 5.5 side of the bridge is
 * compiled where no Lua 5.5 is packaged. test_lua55.c is the Lua behind it. */
#ifndef lua_h
#define lua_h

#include <stddef.h>

#define LUA_VERSION_NUM 505

typedef struct lua_State lua_State;
typedef void *(*lua_Alloc)(void *ud, void *ptr, size_t osize, size_t nsize);

lua_State *lua_newstate(lua_Alloc f, void *ud, unsigned seed);
void lua_close(lua_State *L);
lua_Alloc lua_getallocf(lua_State *L, void **ud);
void lua_setallocf(lua_State *L, lua_Alloc f, void *ud);

#endif
