/* SPDX-License-Identifier: MIT */
/* examples/lua_host as its users meet it: a process with arguments, two streams and an exit status. */
#include "check.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 8
#define TEXT_MAX      65536

typedef struct outcome {
    int status; /* exit status, or -1 - signal */
    char out[TEXT_MAX];
    char err[TEXT_MAX];
} outcome;

static char folder[] = "/tmp/lua_host_XXXXXX";
static outcome last;

static void read_all(int fd, char *text)
{
    size_t used = 0;
    ssize_t got = 0;
    lseek(fd, 0, SEEK_SET);
    do {
        used += (size_t)got;
        got = read(fd, text + used, TEXT_MAX - 1 - used);
    } while (got > 0);
    text[used] = '\0';
    close(fd);
}

static int scratch(const char *name)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
}

/* Runs lua_host in the scratch folder, where script.lua holds @p script; $HOSTMALLOC is @p host or not set. */
static void run(const char *const *arguments, const char *script, const char *host)
{
    const char *argv[ARGUMENTS_MAX + 2] = {LUA_HOST};
    const int out = scratch("out");
    const int err = scratch("err");
    const int file = scratch("script.lua");
    int status;
    pid_t child;
    for (size_t i = 0; i < ARGUMENTS_MAX && arguments[i]; i++) {
        argv[i + 1] = arguments[i];
    }
    assert_int_equal(write(file, script, strlen(script)), strlen(script));
    close(file);
    child = fork();
    if (child == 0) {
        const int nothing = open("/dev/null", O_RDONLY);
        unsetenv("HOSTMALLOC");
        if ((host && setenv("HOSTMALLOC", host, 1) != 0) || chdir(folder) != 0) {
            _exit(126);
        }
        dup2(nothing, STDIN_FILENO);
        dup2(out, STDOUT_FILENO);
        dup2(err, STDERR_FILENO);
        execv(LUA_HOST, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    last.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1 - WTERMSIG(status);
    read_all(out, last.out);
    read_all(err, last.err);
}

typedef struct row {
    const char *label;
    const char *arguments[ARGUMENTS_MAX];
    const char *script;
    int status;
    const char *out; /* all of standard output */
    const char *err; /* somewhere on standard error */
} row;

static void check(const row *at)
{
    run(at->arguments, at->script, NULL);
    if (last.status != at->status || strcmp(last.out, at->out) != 0 ||
        !strstr(last.err, at->err)) {
        fail_msg("%s: status %d, wanted %d\nout: %s\nerr: %s\nwanted: %s", at->label,
                 last.status, at->status, last.out, last.err, at->err);
    }
}

static void lua_host__scripts_that_end_well(void **state)
{
    static const row rows[] = {
        {"nothing to do", {"script.lua"}, "", 0, "", "host            default\n"},
        {"output is the script's own",
         {"script.lua"},
         "io.write('a') print('b')",
         0,
         "ab\n",
         "\ncalls "},
        {"arguments",
         {"script.lua", "x", "y z"},
         "print(#arg, arg[0], ..., arg[2])",
         0,
         "2\tscript.lua\tx\ty z\n",
         ""},
        {"what stands before the script",
         {"--host", "default", "script.lua"},
         "print(arg[-1], arg[-2], #arg)",
         0,
         "default\t--host\t0\n",
         ""},
        {"an option of the script's",
         {"script.lua", "--host"},
         "print(arg[1])",
         0,
         "--host\n",
         ""},
        {"generational, as lua",
         {"script.lua"},
         "print(collectgarbage('incremental'))",
         0,
         "generational\n",
         ""},
        {"first line for the shell",
         {"script.lua"},
         "#!/usr/bin/lua\nprint(1)",
         0,
         "1\n",
         ""},
        {"standard input", {"-"}, "", 0, "", "host "},
        {"warnings are off", {"script.lua"}, "warn('seen')", 0, "", "host "},
        {"warnings",
         {"script.lua"},
         "warn('@on') warn('se', 'en') warn('@off') warn('no')",
         0,
         "",
         "Lua warning: seen\nhost "},
        {"os.exit", {"script.lua"}, "print('x') os.exit(0)", 0, "x\n", "\nlive "},
        {"os.exit closes",
         {"script.lua"},
         "os.exit(true, true)",
         0,
         "",
         "\nlive            0 bytes in 0 blocks"},
        {"its own status", {"script.lua"}, "os.exit(5)", 5, "", "\ncalls "},
        {"closed",
         {"script.lua"},
         "x = {}",
         0,
         "",
         "\nlive            0 bytes in 0 blocks"},
        {"by type",
         {"--host", "debug", "script.lua"},
         "t = {{}, {}}",
         0,
         "",
         "\nlua:table "},
        {"a limit that is enough",
         {"--limit", "8M", "script.lua"},
         "print(1)",
         0,
         "1\n",
         " denied\n"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        check(&rows[i]);
    }
}

static void lua_host__scripts_that_fail(void **state)
{
    static const row rows[] = {
        {"no such file", {"none.lua"}, "", 1, "", "lua_host: cannot open none.lua"},
        {"a folder", {"."}, "", 1, "", "lua_host: cannot read ."},
        {"syntax",
         {"script.lua"},
         "print('a'\nx",
         1,
         "",
         "lua_host: script.lua:2: ')' expected"},
        {"an error",
         {"script.lua"},
         "print('before')\nerror('no')",
         1,
         "before\n",
         "lua_host: script.lua:2: no\nstack traceback:\n"},
        {"after the output comes the report",
         {"script.lua"},
         "error('no')",
         1,
         "",
         "\ncalls "},
        {"error(nil)", {"script.lua"}, "error()", 1, "", "(error object is a nil value)"},
        {"a table",
         {"script.lua"},
         "error({})",
         1,
         "",
         "(error object is a table value)"},
        {"a table with a text",
         {"script.lua"},
         "error(setmetatable({}, {__tostring = function() return 'mine' end}))",
         1,
         "",
         "lua_host: mine\n"},
        {"an error in __tostring",
         {"script.lua"},
         "error(setmetatable({}, {__tostring = function() error('x') end}))",
         1,
         "",
         "lua_host: "},
        {"no end",
         {"script.lua"},
         "local function f() return 1 + f() end f()",
         1,
         "",
         "stack overflow"},
        {"out of memory",
         {"--limit", "2M", "script.lua"},
         "local t = {} for i = 1, 1e8 do t[i] = {i} end",
         1,
         "",
         "lua_host: not enough memory\n"},
        {"too little for the libraries",
         {"--limit", "12K", "script.lua"},
         "",
         1,
         "",
         "lua_host: not enough memory\n"},
        {"too little for a state",
         {"--limit", "600", "script.lua"},
         "",
         1,
         "",
         "bridge:lua: lua_newstate could not make a state"},
        {"too little for anything",
         {"--limit", "1", "script.lua"},
         "",
         1,
         "",
         "bridge:lua: the malloc has no room"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        check(&rows[i]);
    }
}

static void lua_host__mistakes_of_the_caller(void **state)
{
    static const row rows[] = {
        {"nothing", {NULL}, "", 2, "", "a script is needed\nusage: lua_host "},
        {"no script", {"--host", "default"}, "", 2, "", "a script is needed"},
        {"no value", {"--host"}, "", 2, "", "an option needs its value"},
        {"unknown option",
         {"--hots", "default", "script.lua"},
         "",
         2,
         "",
         "options are --host, --limit and --quiet"},
        {"short option", {"-e", "print(1)"}, "", 2, "", "usage: "},
        {"no number",
         {"--limit", "much", "script.lua"},
         "",
         2,
         "",
         "--limit takes bytes"},
        {"negative", {"--limit", "-1", "script.lua"}, "", 2, "", "--limit takes bytes"},
        {"unit", {"--limit", "1T", "script.lua"}, "", 2, "", "--limit takes bytes"},
        {"two units", {"--limit", "1KK", "script.lua"}, "", 2, "", "--limit takes bytes"},
        {"beyond size_t",
         {"--limit", "99999999999G", "script.lua"},
         "",
         2,
         "",
         "--limit takes bytes"},
        {"unknown host",
         {"--host", "defualt", "script.lua"},
         "print(1)",
         2,
         "",
         "default"},
        {"empty spec", {"--host", "", "script.lua"}, "print(1)", 2, "", "hostmalloc: "},
        {"bad option of a host",
         {"--host", "debug:x=1", "script.lua"},
         "print(1)",
         2,
         "",
         "hostmalloc: "},
        {"no such module",
         {"--host", "./none.so", "script.lua"},
         "print(1)",
         2,
         "",
         "none.so"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        check(&rows[i]);
    }
}

static void lua_host__environment(void **state)
{
    static const char *const arguments[ARGUMENTS_MAX] = {"script.lua"};
    static const char *const given[ARGUMENTS_MAX] = {"--host", "default", "script.lua"};
    (void)state;
    run(arguments, "print(1)", "debug");
    assert_int_equal(last.status, 0);
    assert_non_null(strstr(last.err, "host            debug\n"));
    run(arguments, "print(1)", "");
    assert_int_equal(last.status, 2);
    run(arguments, "print(1)", "no such host");
    assert_int_equal(last.status, 2);
    assert_string_equal(last.out, "");
    run(given, "print(1)", "no such host");
    assert_int_equal(last.status, 0);
}

/* The example's workload, whose checks are its own, under every host: one output. */
static void lua_host__workload_under_every_host(void **state)
{
    static const char *const specs[] = {"default", "mimalloc", "debug", "debug+mimalloc"};
    char want[TEXT_MAX] = "";
    size_t skipped = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(specs); i++) {
        const char *const arguments[ARGUMENTS_MAX] = {"--host", specs[i], WORKLOAD};
        run(arguments, "", NULL);
        if (last.status == 2 && strstr(last.err, "HM_E_NOT_FOUND")) {
            print_message("skipped, no such host here: %s\n", specs[i]);
            skipped++;
            continue;
        }
        CHECK_ROW(specs[i], last.status == 0);
        CHECK_ROW(specs[i], strstr(last.err, "\nlive            0 bytes in 0 blocks"));
        if (!*want) {
            memcpy(want, last.out, sizeof(want));
        }
        CHECK_ROW(specs[i], *want && strcmp(last.out, want) == 0);
    }
    assert_in_range(skipped, 0, 2);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"out", "err", "script.lua"};
    char path[64];
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lua_host__scripts_that_end_well),
        cmocka_unit_test(lua_host__scripts_that_fail),
        cmocka_unit_test(lua_host__mistakes_of_the_caller),
        cmocka_unit_test(lua_host__environment),
        cmocka_unit_test(lua_host__workload_under_every_host),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
