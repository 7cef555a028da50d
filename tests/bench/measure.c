/* SPDX-License-Identifier: MIT */
/* Clocks, quartiles and rows: see measure.h. */
#include "measure.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../sanitizer.h"

static unsigned rows, missed;
static cpu_set_t allowed;
static const char *program_name = "";

static double clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

double measure_wall(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

double measure_cpu(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

void measure_pin(void)
{
    cpu_set_t one;
    int last = -1;
    if (CPU_COUNT(&allowed) == 0 && sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        return;
    }
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        last = CPU_ISSET(cpu, &allowed) ? cpu : last;
    }
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    sched_setaffinity(0, sizeof one, &one);
}

void measure_unpin(void)
{
    if (CPU_COUNT(&allowed) > 0) {
        sched_setaffinity(0, sizeof allowed, &allowed);
    }
}

void measure_head(const char *program, const char *plan)
{
    double load[3] = {0, 0, 0};
    program_name = program;
    if (getloadavg(load, 3) < 1) {
        load[0] = -1;
    }
    printf("%s: %s; load average %.2f on %ld processors\n", program, plan, load[0],
           sysconf(_SC_NPROCESSORS_ONLN));
#ifndef __OPTIMIZE__
    printf("built without optimisation: these figures mean nothing\n");
#endif
}

static int by_value(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

spread measure_spread(double *values, size_t count)
{
    qsort(values, count, sizeof values[0], by_value);
    const double middle =
        count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
    return (spread){values[count / 4], middle, values[count - 1 - count / 4]};
}

/* NULL: nobody asked for figures. */
static FILE *figures_open(void)
{
    const char *path = getenv("HOSTMALLOC_BENCH_JSON");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (path && !file) {
        perror(path);
        exit(2);
    }
    return file;
}

static void figures_close(FILE *file)
{
    if (fclose(file) != 0) {
        perror("HOSTMALLOC_BENCH_JSON");
        exit(2);
    }
}

void measure_missing(const char *what, const char *why)
{
    FILE *file = figures_open();
    printf("%s: %s\n", what, why);
    if (!file) {
        return;
    }
    fprintf(file, "{\"program\": \"%s\", \"missing\": \"%s\", \"why\": \"", program_name,
            what);
    for (; *why; why++) { /* it may hold what a library said */
        fputc(*why == '"' || *why == '\\' || (unsigned char)*why < ' ' ? '?' : *why,
              file);
    }
    fputs("\"}\n", file);
    figures_close(file);
}

void measure_record(const char *workload,
                    const char *what,
                    const char *against,
                    double x,
                    spread ratio,
                    double bound)
{
    FILE *file = figures_open();
    if (!file) {
        return;
    }
    fprintf(file,
            "{\"program\": \"%s\", \"workload\": \"%s\", \"what\": \"%s\", "
            "\"against\": \"%s\", \"x\": %.0f, \"median\": %.4f, \"q1\": %.4f, "
            "\"q3\": %.4f, \"bound\": %.2f}\n",
            program_name, workload, what, against, x, ratio.median, ratio.q1, ratio.q3,
            bound);
    figures_close(file);
}

void measure_row(double median, double bound)
{
    rows++;
    if (bound > 0) {
        missed += median > bound;
        printf("  bound %.2f  %s", bound, median > bound ? "MISSED" : "met");
    }
    printf("\n");
}

int measure_end(void)
{
    printf("\n%u rows, %u bound%s missed\n", rows, missed, missed == 1 ? "" : "s");
    return missed > 0;
}

/* Of lines such as "1,234,567  ???:mi_free [/usr/lib/libmimalloc.so.2.0]"; -1 when nobody said. */
static double count_in(const char *path, const char *library)
{
    char line[4096], object[256];
    double sum = 0;
    snprintf(line, sizeof line,
             "callgrind_annotate --threshold=100 --auto=no --show-percs=no '%s' 2>&1",
             path);
    snprintf(object, sizeof object, "/%s", library);
    FILE *output = popen(line, "r");
    while (output && fgets(line, sizeof line, output)) {
        const char *at = strrchr(line, '[');
        double count = 0;
        if (!at || !strstr(at, object)) {
            continue;
        }
        for (at = line; *at == ' ' || *at == ',' || (*at >= '0' && *at <= '9'); at++) {
            count = *at >= '0' ? 10 * count + (*at - '0') : count;
        }
        sum += count;
    }
    return output && pclose(output) == 0 ? sum : -1;
}

double
measure_instructions(const char *counted, const char *arguments, const char *without)
{
    char self[1024], line[4096], path[] = "/tmp/instructions.XXXXXX";
    double all = 0;
    const int fd = UNDER_SANITIZER ? -1 : mkstemp(path);
    if (fd < 0) {
        return 0; /* a sanitizer would be counted too, where valgrind can run it at all */
    }
    close(fd);
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    snprintf(line, sizeof line,
             "valgrind --tool=callgrind --callgrind-out-file=%s "
             "--toggle-collect='%s' '%s' %s 2>&1 >/dev/null",
             path, counted, self, arguments);
    fflush(NULL);
    FILE *output = popen(line, "r");
    while (output && fgets(line, sizeof line, output)) {
        const char *found = strstr(line, "Collected :");
        all = found ? strtod(found + strlen("Collected :"), NULL) : all;
    }
    const int done = output && pclose(output) == 0 && all > 0;
    const double others = done && without ? count_in(path, without) : 0;
    unlink(path);
    return done && others >= 0 ? all - others : 0;
}

void measure_answer(int answer, const void *data, size_t bytes)
{
    if (write(answer, data, bytes) != (ssize_t)bytes) {
        _exit(1);
    }
}

int measure_apart(void (*body)(void *context, int answer),
                  void *context,
                  void *out,
                  size_t bytes)
{
    int ends[2], status = 1;
    if (pipe(ends) != 0) {
        return 0;
    }
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        body(context, ends[1]);
        _exit(0);
    }
    close(ends[1]);
    size_t had = 0;
    ssize_t got;
    while (had < bytes && (got = read(ends[0], (char *)out + had, bytes - had)) > 0) {
        had += (size_t)got;
    }
    close(ends[0]);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0 &&
           had == bytes;
}
