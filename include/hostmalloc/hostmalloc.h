/* SPDX-License-Identifier: MIT */
/**
 * @file hostmalloc.h
 * @brief A host-pluggable memory manager, modeled on .NET's IHostMalloc and IHostMemoryManager.
 *
 *     hm_host *host;
 *     hm_malloc *m;
 *     hm_error err;
 *     if (hm_host_open("debug+mimalloc", &host, &err) != HM_OK) { hm_error_print(&err); return 1; }
 *     if (hm_host_create_malloc(host, "parser", 0, &m, &err) != HM_OK) { hm_error_print(&err); return 1; }
 *     char *text = hm_alloc(m, 64);      records this line, if the host wants lines
 *     hm_free(m, text);
 *     hm_malloc_release(m);
 *     hm_host_release(host);             the debug host reports what is still live
 *
 * Words, used the same way everywhere:
 *
 *   host          whoever gives memory, our IHostMemoryManager: makes mallocs, reserves pages, reports load
 *   malloc        our IHostMalloc, an object: allocate, allocate with source site, free
 *   layer         wraps a host and is a host: limit, fault, trace, cache
 *   site          the place in the source that asked: file, line, function
 *   runtime core  what asks the host for mallocs on a runtime's behalf: hm_runtime
 *   runtime       whoever takes the memory: Lua, SQLite, OpenSSL, CPython, ...
 *   bridge        hands a malloc to a runtime through that runtime's own hook
 *   module        a shared library opened at run time that offers hosts or layers
 *   page          an OS page
 *
 * Threads, in the `@threads` line of each declaration:
 *
 *   any       same object, many threads
 *   distinct  one thread per object at a time
 *   owner     the creating thread
 *   startup   before the first allocation, alone
 *   inner     as the malloc underneath
 *
 * From simple to advanced: malloc.h (allocate), registry.h (pick a host by name), runtime.h (embed a
 * runtime), bridges/ (give it to Lua and others), tree.h (blocks that own blocks), client.h (parts that may
 * fail), debug.h (ask the debug host), host.h, layer.h and module.h (write your own).
 */
#ifndef HM_HOSTMALLOC_H
#define HM_HOSTMALLOC_H

#include <hostmalloc/abi.h>
#include <hostmalloc/client.h>
#include <hostmalloc/host.h>
#include <hostmalloc/layer.h>
#include <hostmalloc/malloc.h>
#include <hostmalloc/module.h>
#include <hostmalloc/registry.h>
#include <hostmalloc/runtime.h>
#include <hostmalloc/site.h>
#include <hostmalloc/status.h>
#include <hostmalloc/tree.h>

#endif
