/* SPDX-License-Identifier: MIT */
/* hostmalloc run: a program that was not built for us, with its memory from a host. The command becomes the program, so
 * its exit code, signals and descriptors are the program's own; libhostmalloc_preload.so does the rest from inside. */
#include "command.h"

#include <hostmalloc/hostmalloc.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run_notice.h"
#include "run_spec.h"

/* As shells have it. */
#define EXIT_NOT_FOUND      127
#define EXIT_NOT_EXECUTABLE 126

#define SPEC_BYTES 8192

typedef struct options {
    const char *host;
    const char *report;
    const char *format;
    const char *bridges;
    long leak_exitcode; /* 0: not given */
    int no_malloc;
    int follow;
    char **program; /* NULL: none given */
} options;

static int failed(const char *what, const char *which)
{
    fprintf(stderr, "hostmalloc: run: %s: %s\n", which, what);
    return EXIT_USAGE;
}

static int read_number(const char *text, long *out)
{
    char *end;
    errno = 0;
    *out = strtol(text, &end, 10);
    return !errno && *text && !*end && *out >= 1 && *out <= 255;
}

/* Of "openssl,sqlite" the first that is not one of ours; NULL: all are. */
static const char *unknown_bridge(const char *list)
{
    static char name[64];
    for (const char *at = list; *at; at += *at == ',') {
        const size_t length = strcspn(at, ",");
        snprintf(name, sizeof name, ",%.*s,", (int)length, at);
        if (length && (length + 3 > sizeof name ||
                       !strstr("," HOSTMALLOC_PRELOAD_BRIDGES ",none,", name))) {
            snprintf(name, sizeof name, "%.*s", (int)length, at);
            return name;
        }
        at += length;
    }
    return NULL;
}

typedef struct valued {
    const char *name;
    const char **value;
} valued;

static int check(const options *o, const char *exitcode)
{
    if (exitcode && !o->leak_exitcode) {
        return usage_error(&run_verb, "--leak-exitcode wants a number from 1 to 255",
                           exitcode);
    }
    if (o->format && !report_has_format(o->format)) {
        return usage_error(&run_verb, "--format wants " REPORT_FORMATS ", found",
                           o->format);
    }
    const char *unknown = o->bridges ? unknown_bridge(o->bridges) : NULL;
    if (unknown) {
        return usage_error(&run_verb,
                           "--bridges wants none or some of " HOSTMALLOC_PRELOAD_BRIDGES
                           ", found",
                           unknown);
    }
    if (!o->program) {
        return usage_error(&run_verb, "no program", "expected -- PROGRAM [ARGUMENTS]");
    }
    return EXIT_CLEAN;
}

static int read_options(int count, char **arguments, options *o)
{
    const char *exitcode = NULL;
    const valued with_value[] = {{"--host", &o->host},
                                 {"--report", &o->report},
                                 {"--format", &o->format},
                                 {"--bridges", &o->bridges},
                                 {"--leak-exitcode", &exitcode}};
    for (int i = 0; i < count && !o->program; i++) {
        const char *argument = arguments[i];
        size_t known = 0;
        while (known < sizeof with_value / sizeof with_value[0] &&
               strcmp(with_value[known].name, argument) != 0) {
            known++;
        }
        if (known < sizeof with_value / sizeof with_value[0]) {
            if (++i == count) {
                return usage_error(&run_verb, "an option without its value", argument);
            }
            *with_value[known].value = arguments[i];
        } else if (strcmp(argument, "--no-malloc") == 0) {
            o->no_malloc = 1;
        } else if (strcmp(argument, "--follow") == 0) {
            o->follow = 1;
        } else if (strcmp(argument, "--") == 0) {
            o->program = i + 1 < count ? &arguments[i + 1] : NULL;
            break;
        } else if (argument[0] == '-') {
            return usage_error(&run_verb, "unknown option", argument);
        } else {
            o->program = &arguments[i];
        }
    }
    if (exitcode && !read_number(exitcode, &o->leak_exitcode)) {
        o->leak_exitcode = 0;
    }
    return check(o, exitcode);
}

static int set(const char *name, const char *value)
{
    return value ? setenv(name, value, 1) == 0 : unsetenv(name) == 0;
}

/* What records is the point of most runs, and mimalloc makes up for what it costs. */
static const char *default_spec(void)
{
    const hm_host_info *found;
    return hm_registry_find("mimalloc", &found, NULL) == HM_OK ? "debug+mimalloc"
                                                               : "debug";
}

/* The file as the program will find it wherever it goes, and empty. 0: it cannot be written, errno says why. */
static int prepare_report(const char *file, char *path, size_t size)
{
    const char *name = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
    char folder[PATH_MAX];
    const size_t head = (size_t)(name - file);
    if (!*name || head >= sizeof folder) {
        errno = *name ? ENAMETOOLONG : *file ? EISDIR : ENOENT;
        return 0;
    }
    snprintf(folder, sizeof folder, "%.*s", (int)head, file);
    char resolved[PATH_MAX];
    if (!realpath(head ? folder : ".", resolved)) {
        return 0;
    }
    const int length =
        snprintf(path, size, "%s/%s", strcmp(resolved, "/") == 0 ? "" : resolved, name);
    if (length < 0 || (size_t)length >= size) {
        errno = ENAMETOOLONG;
        return 0;
    }
    if (strstr(name, "%p")) {
        return 1; /* each process makes its own */
    }
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

/* Whether every name in it exists and every value is understood is known here, and not in the program. */
static int check_spec(const char *spec)
{
    hm_host *host;
    hm_error err;
    if (hm_host_open(spec, &host, &err) != HM_OK) {
        hm_error_print(&err);
        return EXIT_USAGE;
    }
    hm_host_release(host);
    return EXIT_CLEAN;
}

static int complete_spec(const options *o, const char *path, char *spec)
{
    const char *chosen = o->host ? o->host : getenv("HOSTMALLOC");
    char given[64];
    chosen = chosen ? chosen : default_spec();
    snprintf(spec, SPEC_BYTES, "%s", chosen);
    if (check_spec(chosen) != EXIT_CLEAN || !set("HOSTMALLOC_RUN_SHOWN", chosen)) {
        return EXIT_USAGE;
    }
    if (o->leak_exitcode) {
        snprintf(given, sizeof given, "%ld", o->leak_exitcode);
        if (!run_spec_add(spec, SPEC_BYTES, "exitcode", given)) {
            return failed("--leak-exitcode needs a debug host", spec);
        }
    } else {
        /* The report at the end shows what is live, of every line. */
        run_spec_add(spec, SPEC_BYTES, "leaks", "no");
    }
    if (path && (!o->format || strcmp(o->format, "text") == 0)) {
        /* A host begins its file anew. What several programs share gets the reports of their ends, which have it all. */
        run_spec_add(spec, SPEC_BYTES, "report",
                     o->follow && !strstr(path, "%p") ? "/dev/null" : path);
    }
    return EXIT_CLEAN;
}

/* 0: not found. The build tree has the shape of an install. */
static int find_preload(const char *command, char *path)
{
    static const char *const places[] = {HOSTMALLOC_LIBRARIES_FROM_COMMAND, "../lib"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char candidate[2 * PATH_MAX];
        snprintf(candidate, sizeof candidate, "%.*s%s/libhostmalloc_preload.so",
                 (int)(strrchr(command, '/') + 1 - command), command, places[i]);
        if (realpath(candidate, path)) {
            return 1;
        }
    }
    return 0;
}

static int set_preload(const char *path)
{
    const char *before = getenv("LD_PRELOAD");
    char value[3 * PATH_MAX];
    const int length = snprintf(value, sizeof value, "%s%s%s", before ? before : "",
                                before && *before ? ":" : "", path);
    /* Behind what is there: a sanitizer insists on being the first. */
    return length > 0 && (size_t)length < sizeof value &&
           setenv("LD_PRELOAD", value, 1) == 0;
}

static int prepare(const options *o)
{
    char command[PATH_MAX], preload[PATH_MAX], path[PATH_MAX], spec[SPEC_BYTES];
    if (!realpath("/proc/self/exe", command) || !find_preload(command, preload)) {
        return failed("not found beside the command", "libhostmalloc_preload.so");
    }
    if (strpbrk(preload, ": ")) {
        return failed("a folder's name must hold no colon and no space to be preloaded",
                      preload);
    }
    if (o->report && !prepare_report(o->report, path, sizeof path)) {
        fprintf(stderr, "hostmalloc: run: %s: cannot be written: %s\n", o->report,
                strerror(errno));
        return EXIT_USAGE;
    }
    if (o->report && !run_spec_holds(path)) {
        return failed("parentheses of a report's name must match", path);
    }
    const int status = complete_spec(o, o->report ? path : NULL, spec);
    if (status != EXIT_CLEAN) {
        return status;
    }
    if (!set("HOSTMALLOC_RUN_HOST", spec) ||
        !set("HOSTMALLOC_RUN_REPORT", o->report ? path : NULL) ||
        !set("HOSTMALLOC_RUN_FORMAT", o->format) ||
        !set("HOSTMALLOC_RUN_BRIDGES", o->bridges) ||
        !set("HOSTMALLOC_RUN_NO_MALLOC", o->no_malloc ? "1" : NULL) ||
        !set("HOSTMALLOC_RUN_FOLLOW", o->follow ? "1" : NULL) ||
        !set("HOSTMALLOC_RUN_COMMAND", command) || !set_preload(preload)) {
        return failed("no room", "the environment");
    }
    return EXIT_CLEAN;
}

/* Where the report would have been; other formats have no room for it. */
static void give_notice(const options *o)
{
    const char *why = run_takes_none(o->program[0]);
    const char *path = getenv("HOSTMALLOC_RUN_REPORT");
    const int is_text = !o->format || strcmp(o->format, "text") == 0;
    FILE *file = why && path && is_text && !strstr(path, "%p") ? fopen(path, "a") : NULL;
    if (why) {
        fprintf(file ? file : stderr,
                "hostmalloc run: %s %s: it takes no library, so there is no report\n",
                o->program[0], why);
    }
    if (file) {
        fclose(file);
    }
}

static int run_run(int count, char **arguments)
{
    options o;
    memset(&o, 0, sizeof o);
    int status = read_options(count, arguments, &o);
    if (status == EXIT_CLEAN) {
        status = prepare(&o);
    }
    if (status != EXIT_CLEAN) {
        return status;
    }
    give_notice(&o);
    execvp(o.program[0], o.program);
    const int why = errno;
    failed(strerror(why), o.program[0]);
    return why == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

const verb run_verb = {
    "run", "[options] -- PROGRAM ...", "Run any program on a host",
    "\nThe program is run as it is, with a library preloaded that answers malloc, free, "
    "new and\n"
    "delete from the host, and sets the hooks of the libraries in it that have one: "
    "those bring\n"
    "their own lines of source. Output and exit code are the program's. At its end a "
    "report\n"
    "lists every place that asked for memory, the heaviest first.\n\n"
    "  --host SPEC         the host, as `hostmalloc hosts` knows them; without it "
    "$HOSTMALLOC, else\n"
    "                      debug+mimalloc\n"
    "  --report FILE       write the report there, not to standard error; %p is the "
    "process number\n"
    "  --format F          text (the default), json, folded, pprof, heaptrack, sarif, "
    "junit\n"
    "  --bridges LIST      of: " HOSTMALLOC_PRELOAD_BRIDGES "; or none\n"
    "  --no-malloc         hooks only: malloc stays libc's\n"
    "  --follow            also programs that this one starts; each reports for "
    "itself\n"
    "  --leak-exitcode N   end with N when blocks are live at the end, or mistakes were "
    "found\n\n"
    "Programs that are statically linked or run with other rights than yours take no "
    "library;\n"
    "programs that a signal ends write no report: --host debug:live=FILE keeps their "
    "figures.\n"
    "A report that cannot be written whole is told on standard error; the exit code "
    "stays.\n"
    "A host that takes its blocks from malloc itself is refused, but for --no-malloc.\n"
    "Exit codes: the program's; 2 usage or a host that is none, 126 and 127 no program, "
    "as in shells.\n",
    run_run};
