/* SPDX-License-Identifier: MIT */
/* Runs a Lua script whose memory comes from a host of your choice, and says afterwards what that took.
 *
 *     lua_host [--host SPEC] [--limit BYTES] [--quiet] script.lua [args]
 *
 * The script's output is its own: what is said here goes to standard error, after it; --quiet counts nothing and says
 * nothing. Exit status: 0, 1 when the script
 * failed, 2 for a mistake in the command line or the spec; a script that calls os.exit() chooses its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include <hostmalloc/bridges/lua.h>
#include <hostmalloc/debug.h>
#include <hostmalloc/hostmalloc.h>

#define EXIT_USAGE 2

/* All of it in one place, because os.exit() leaves main() without a word. */
static struct session {
    const char *spec;
    hm_runtime *runtime;
    hm_malloc *memory;
    hm_lua *bridge;                    /* NULL once the report is out */
    hm_debug_site kinds[HM_LUA_KINDS]; /* as the script ended; a debug host knows them */
    int kinds_known;
    int quiet;
    int closed; /* the state is; by os.exit() Lua is still running below us */
} session;

static int usage(const char *problem)
{
    fprintf(stderr, "lua_host: %s\n", problem);
    fputs("usage: lua_host [--host SPEC] [--limit BYTES] [--quiet] script.lua [args]\n",
          stderr);
    return EXIT_USAGE;
}

/* "64M" and the like. */
static int read_bytes(const char *text, size_t *bytes)
{
    char *end;
    const unsigned long long number = strtoull(text, &end, 10);
    const char *const unit = strchr("KMG", *end);
    const unsigned shift = *end && unit ? 10u * (unsigned)(unit - "KMG" + 1) : 0;
    if (*text < '0' || *text > '9' || !unit || (*end && end[1]) ||
        number > SIZE_MAX >> shift) {
        return 0;
    }
    *bytes = (size_t)number << shift;
    return 1;
}

static int keep_kind(void *context, const hm_debug_site *seen)
{
    (void)context;
    for (uint32_t kind = 0; seen->site && kind < HM_LUA_KINDS; kind++) {
        if (strcmp(seen->site->file, hm_lua_kind_site(kind)->file) == 0) {
            session.kinds[kind] = *seen;
        }
    }
    return 0;
}

/* Once: before the state is closed, or as the script leaves. */
static void learn_kinds(void)
{
    if (!session.kinds_known) {
        session.kinds_known =
            hm_debug_sites(hm_debug_of_malloc(session.memory), keep_kind, NULL) == HM_OK;
    }
}

static void print_kinds(void)
{
    if (!session.kinds_known) {
        return;
    }
    fprintf(stderr, "%-14s %11s %13s %13s %11s %13s\n", "type", "live blocks", "bytes",
            "peak bytes", "total", "bytes");
    for (uint32_t kind = 0; kind < HM_LUA_KINDS; kind++) {
        const hm_debug_site *const at = &session.kinds[kind];
        if (at->total_blocks) {
            fprintf(
                stderr, "%-14s %11llu %13llu %13llu %11llu %13llu\n", at->site->file,
                (unsigned long long)at->live_blocks, (unsigned long long)at->live_bytes,
                (unsigned long long)at->peak_bytes, (unsigned long long)at->total_blocks,
                (unsigned long long)at->total_bytes);
        }
    }
}

static int print_malloc(void *context, const hm_runtime_entry *entry)
{
    const hm_stats *const stats = &entry->stats;
    (void)context;
    if (entry->counted == HM_OK) {
        fprintf(stderr,
                "malloc %-8s %llu bytes live, %llu at peak, %llu overhead, %llu denied\n",
                entry->name, (unsigned long long)stats->live_bytes,
                (unsigned long long)stats->peak_bytes,
                (unsigned long long)stats->overhead_bytes,
                (unsigned long long)stats->denied);
    }
    return 0;
}

static void print_counts(const hm_lua_stats *stats)
{
    fprintf(stderr, "host            %s\n", session.spec);
    fprintf(
        stderr,
        "calls           %llu: %llu allocs, %llu reallocs, %llu frees, %llu refused\n",
        (unsigned long long)(stats->allocs + stats->reallocs + stats->frees),
        (unsigned long long)stats->allocs, (unsigned long long)stats->reallocs,
        (unsigned long long)stats->frees, (unsigned long long)stats->refused);
    fprintf(stderr, "peak            %llu bytes (%.1f MiB)\n",
            (unsigned long long)stats->peak_bytes, (double)stats->peak_bytes / 1048576);
    fprintf(stderr, "live            %llu bytes in %llu blocks\n",
            (unsigned long long)stats->live_bytes,
            (unsigned long long)stats->live_blocks);
}

/* What the bridge and the runtime core know, once: when the state is closed, or when the script left by os.exit(). */
static void report(void)
{
    hm_lua_stats stats = {.size = sizeof(stats)};
    hm_lua *const bridge = session.bridge;
    if (!bridge) {
        return;
    }
    session.bridge = NULL;
    fflush(stdout);
    if (!session.quiet) {
        learn_kinds();
        hm_lua_stats_of(bridge, &stats);
        print_counts(&stats);
    }
    if (session.closed) {
        hm_lua_detach(bridge);
    }
    if (!session.quiet) {
        hm_runtime_visit(session.runtime, print_malloc, NULL);
        print_kinds();
    }
    if (!session.closed) {
        return;
    }
    hm_malloc_release(session.memory);
    hm_runtime_close(session.runtime, NULL, NULL);
}

/* Turns whatever was thrown into a text with a traceback. */
static int explain(lua_State *L)
{
    const char *text = lua_tostring(L, 1);
    if (!text) {
        if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING) {
            return 1;
        }
        text = lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
    }
    luaL_traceback(L, L, text, 1);
    return 1;
}

/* warn(), off until the script says warn("@on"), as in the lua program. */
static void on_warning(void *state, const char *text, int more)
{
    int *const mode = state; /* 0 off, 1 on, 2 on and in the middle of a message */
    if (*mode != 2 && !more && *text == '@') {
        *mode = strcmp(text, "@on") == 0 ? 1 : strcmp(text, "@off") == 0 ? 0 : *mode;
    } else if (*mode) {
        fprintf(stderr, "%s%s%s", *mode == 1 ? "Lua warning: " : "", text,
                more ? "" : "\n");
        *mode = more ? 2 : 1;
    }
}

/* Runs protected, because everything here may run out of memory. Arguments: argc, argv, the script's place in it. */
static int run_script(lua_State *L)
{
    const int argc = (int)lua_tointeger(L, 1);
    char **const argv = lua_touserdata(L, 2);
    const int script = (int)lua_tointeger(L, 3);
    luaL_checkversion(L);
    luaL_openlibs(L);
    lua_createtable(L, argc - script - 1, script + 1);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i - script);
    }
    lua_setglobal(L, "arg");
    lua_gc(L, LUA_GCGEN, 0, 0); /* as the lua program does */
    lua_settop(L, 0);
    lua_pushcfunction(L, explain);
    if (luaL_loadfile(L, strcmp(argv[script], "-") == 0 ? NULL : argv[script]) !=
        LUA_OK) {
        return lua_error(L);
    }
    luaL_checkstack(L, argc - script, "too many arguments to script");
    for (int i = script + 1; i < argc; i++) {
        lua_pushstring(L, argv[i]);
    }
    if (lua_pcall(L, argc - script - 1, 0, 1) != LUA_OK) {
        return lua_error(L);
    }
    return 0;
}

static int run(lua_State *L, int argc, char **argv, int script)
{
    int warnings = 0;
    int status;
    lua_setwarnf(L, on_warning, &warnings);
    lua_pushcfunction(L, run_script);
    lua_pushinteger(L, argc);
    lua_pushlightuserdata(L, argv);
    lua_pushinteger(L, script);
    status = lua_pcall(L, 3, 0, 0);
    fflush(stdout);
    if (status != LUA_OK) {
        const char *const text =
            lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
        fprintf(stderr, "lua_host: %s\n", text ? text : "(error object is not a string)");
    }
    if (!session.quiet) {
        learn_kinds();
    }
    lua_close(L);
    session.closed = 1;
    return status == LUA_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    hm_lua_opts bridge_opts = {.size = sizeof(bridge_opts), .flags = HM_LUA_COUNT};
    hm_runtime_opts runtime_opts = {.size = sizeof(runtime_opts), .name = "lua_host"};
    hm_malloc_opts opts = {
        .size = sizeof(opts), .name = "script", .flags = HM_MALLOC_ONE_THREAD};
    hm_error err;
    lua_State *L;
    int script = 1;
    int status;
    for (; script < argc && argv[script][0] == '-' && argv[script][1]; script += 2) {
        const int is_host = strcmp(argv[script], "--host") == 0;
        if (strcmp(argv[script], "--quiet") == 0) {
            session.quiet = 1;
            bridge_opts.flags = 0;
            script--; /* it has no value */
            continue;
        }
        if (!is_host && strcmp(argv[script], "--limit") != 0) {
            return usage("options are --host, --limit and --quiet");
        }
        if (script + 1 == argc) {
            return usage("an option needs its value");
        }
        if (is_host) {
            runtime_opts.spec = argv[script + 1];
        } else if (!read_bytes(argv[script + 1], &opts.limit)) {
            return usage("--limit takes bytes: a number, then nothing, K, M or G");
        }
    }
    if (script >= argc) {
        return usage("a script is needed");
    }
    session.spec = runtime_opts.spec      ? runtime_opts.spec
                   : getenv("HOSTMALLOC") ? getenv("HOSTMALLOC")
                                          : "default";
    if (hm_runtime_open(&runtime_opts, &session.runtime, &err) != HM_OK) {
        hm_error_print(&err);
        return EXIT_USAGE;
    }
    if (hm_runtime_create_malloc(session.runtime, &opts, &session.memory, &err) !=
        HM_OK) {
        hm_error_print(&err);
        hm_runtime_close(session.runtime, NULL, NULL);
        return EXIT_FAILURE;
    }
    L = hm_lua_newstate_opts(session.memory, &bridge_opts, &err);
    if (!L) {
        hm_error_print(&err);
        hm_malloc_release(session.memory);
        hm_runtime_close(session.runtime, NULL, NULL);
        return EXIT_FAILURE;
    }
    hm_runtime_start(session.runtime);
    session.bridge = hm_lua_of(L);
    atexit(report);
    status = run(L, argc, argv, script);
    report();
    return status;
}
