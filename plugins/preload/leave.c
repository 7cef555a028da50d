/* SPDX-License-Identifier: MIT */
/* The ways out of a process that pass by its exit handlers: _exit(), and becoming another program. */
#include "leave_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "objects_internal.h"
#include "report_internal.h"

#define EXPORT __attribute__((visibility("default")))

static _Noreturn void leave(int code)
{
    hm__preload_report();
    for (;;) {
        syscall(SYS_exit_group, code);
    }
}

EXPORT void _exit(int code)
{
    leave(code);
}

EXPORT void _Exit(int code)
{
    leave(code);
}

extern char **environ;

typedef struct search {
    const char *name;
    void *found;
} search;

/* Libc's own is the last in order. */
static int find(void *context, const hm__object *object)
{
    search *s = context;
    void *found = hm__object_symbol(object, s->name);
    s->found = found ? found : s->found;
    return 0;
}

static uintptr_t libc_function(const char *name)
{
    search s = {name, NULL};
    hm__objects_visit(find, &s);
    return (uintptr_t)s.found;
}

/* What comes of the program is told now: if it becomes another one, there is no later. It goes on only if that fails. */
static int gone_on(int result)
{
    const int kept = errno;
    hm__preload_report_again();
    errno = kept;
    return result;
}

EXPORT int execve(const char *path, char *const arguments[], char *const environment[])
{
    if (access(path, X_OK) == 0) {
        hm__preload_report();
    }
    return gone_on((int)syscall(SYS_execve, path, arguments, environment));
}

EXPORT int execv(const char *path, char *const arguments[])
{
    return execve(path, arguments, environ);
}

EXPORT int fexecve(int fd, char *const arguments[], char *const environment[])
{
    int (*const call)(int, char *const *, char *const *) =
        (int (*)(int, char *const *, char *const *))libc_function("fexecve");
    hm__preload_report();
    return gone_on(call(fd, arguments, environment));
}

/* The search along PATH is libc's; it calls the kernel by itself. */
EXPORT int execvpe(const char *file, char *const arguments[], char *const environment[])
{
    int (*const call)(const char *, char *const *, char *const *) =
        (int (*)(const char *, char *const *, char *const *))libc_function("execvpe");
    hm__preload_report();
    return gone_on(call(file, arguments, environment));
}

EXPORT int execvp(const char *file, char *const arguments[])
{
    return execvpe(file, arguments, environ);
}

#define ARGUMENTS_MAX 4096

/* The arguments of a call of the execl family as a list; 0: too many. */
static int collect(const char **list, const char *first, va_list rest)
{
    int count = 0;
    for (const char *at = first; at; at = va_arg(rest, const char *)) {
        if (count == ARGUMENTS_MAX - 1) {
            errno = E2BIG;
            return 0;
        }
        list[count++] = at;
    }
    list[count] = NULL;
    return 1;
}

EXPORT int execl(const char *path, const char *argument, ...)
{
    const char *list[ARGUMENTS_MAX];
    va_list rest;
    va_start(rest, argument);
    const int fits = collect(list, argument, rest);
    va_end(rest);
    return fits ? execve(path, (char *const *)(uintptr_t)list, environ) : -1;
}

EXPORT int execlp(const char *file, const char *argument, ...)
{
    const char *list[ARGUMENTS_MAX];
    va_list rest;
    va_start(rest, argument);
    const int fits = collect(list, argument, rest);
    va_end(rest);
    return fits ? execvpe(file, (char *const *)(uintptr_t)list, environ) : -1;
}

EXPORT int execle(const char *path, const char *argument, ...)
{
    const char *list[ARGUMENTS_MAX];
    va_list rest;
    va_start(rest, argument);
    const int fits = collect(list, argument, rest);
    char *const *environment = va_arg(rest, char *const *);
    va_end(rest);
    return fits ? execve(path, (char *const *)(uintptr_t)list, environment) : -1;
}
