/* SPDX-License-Identifier: MIT */
/**
 * @file libuv.h
 * @brief The bridge to libuv: its memory from a malloc.
 *
 *     hm_libuv_install(m, &err);           first thing in main(), m made with HM_MALLOC_THREADSAFE
 *     ... uv_loop_init() as ever ...
 *
 * Scope of the hook: the process, threads of libuv's pool included.
 * Window: before any other call of libuv, which accepts it at any time and then frees through it what it
 * took elsewhere. The bridge finds out by making and closing the default loop: when that takes no memory,
 * the loop was there before.
 * uv_fs_realpath() has a block of libc's and frees it as libuv's own; the bridge gives libc what the malloc does not
 * own, and keeps marks of its own over a malloc that cannot tell.
 * What libuv does not tell: sizes at the free, and who asks. Two of three frees are of NULL. What the program
 * embeds in its own structs (handles, requests) is the program's.
 *
 * Most refused allocations are UV_ENOMEM; where the tables of a loop cannot grow, libuv aborts.
 * Its header wants POSIX names: with -std=c11 define _GNU_SOURCE or the like.
 * uv_loop_close() of the last loop and uv_library_shutdown() leave nothing live.
 * Stable since 1.0.
 */
#ifndef HM_BRIDGES_LIBUV_H
#define HM_BRIDGES_LIBUV_H

#include <hostmalloc/bridges/bridge.h>

HM_BEGIN_DECLS

/** Wants uv_replace_allocator(); libc's free for what libuv has from libc; and to find out whether it came too late,
    uv_default_loop(), uv_loop_close() and libc's malloc, realloc and calloc, which it then puts back. With
    HM_BRIDGE_NO_PROBE it takes libuv's word. libuv cannot tell one owner from another, so HM_BRIDGE_REPLACE has no
    effect. */
extern const hm_bridge hm_libuv_bridge;

/** hm_bridge.verify. libuv cannot be asked whether somebody has replaced the functions since.
    @threads any */
hm_status hm_libuv_verify(const hm_site **first, hm_error *err);

HM_END_DECLS

#ifndef HM_BRIDGE_PLAIN

#include <stdlib.h>
#include <uv.h>

/** hm_bridge.install with the libuv this program is linked with. @threads startup */
static inline hm_status hm_libuv_install(hm_malloc *m, hm_error *err)
{
    hm_bridge_symbol symbols[] = {
        {"uv_replace_allocator", (uintptr_t)&uv_replace_allocator},
        {"uv_default_loop", (uintptr_t)&uv_default_loop},
        {"uv_loop_close", (uintptr_t)&uv_loop_close},
        {"malloc", (uintptr_t) & (malloc)},
        {"realloc", (uintptr_t) & (realloc)},
        {"calloc", (uintptr_t) & (calloc)},
        {"free", (uintptr_t) & (free)},
        {(const char *)0, 0}};
    return hm_bridge_install_linked(&hm_libuv_bridge, m, symbols, err);
}

#endif

#endif
