/* SPDX-License-Identifier: MIT */
/* What the memory figures come to, whatever part of /proc and /sys there is. */
#include "fake_root.h"

#define M ((uint64_t)1 << 20)
#define CONTROLLERS                                     \
    {                                                   \
        "/sys/fs/cgroup/cgroup.controllers", "memory\n" \
    }
#define IN_GROUP                         \
    {                                    \
        "/proc/self/cgroup", "0::/a/b\n" \
    }
#define MACHINE                                                          \
    {                                                                    \
        "/proc/meminfo", "MemTotal:  1024000 kB\nMemFree:  1024 kB\n"    \
                         "MemAvailable:   512000 kB\nBuffers:   16 kB\n" \
    }
#define TOP "/sys/fs/cgroup"

typedef struct file {
    const char *path;
    const char *text;
} file;

static void os_memory__figures(void **state)
{
    static const struct {
        const char *label;
        file files[10];
        int known;
        uint64_t limit;
        uint64_t available;
        uint32_t stalled;
    } cases[] = {
        {"nothing there", {{NULL, NULL}}, 0, 0, 0, 0},
        {"a machine", {MACHINE}, 1, 1000 * M, 500 * M, 0},
        {"a machine with pressure",
         {MACHINE,
          {"/proc/pressure/memory", "some avg10=12.34 avg60=0.00\nfull avg10=1.00\n"}},
         1,
         1000 * M,
         500 * M,
         1234},
        {"groups without limits",
         {MACHINE,
          CONTROLLERS,
          IN_GROUP,
          {TOP "/a/b/memory.max", "max\n"},
          {TOP "/a/b/memory.high", "max\n"},
          {TOP "/a/b/memory.current", "1048576\n"}},
         1,
         1000 * M,
         500 * M,
         0},
        {"a limit of its own",
         {MACHINE,
          CONTROLLERS,
          IN_GROUP,
          {TOP "/a/b/memory.max", "104857600\n"},
          {TOP "/a/b/memory.current", "94371840\n"}},
         1,
         100 * M,
         10 * M,
         0},
        {"high is lower than max",
         {MACHINE,
          CONTROLLERS,
          IN_GROUP,
          {TOP "/a/b/memory.max", "104857600\n"},
          {TOP "/a/b/memory.high", "52428800\n"},
          {TOP "/a/b/memory.current", "41943040\n"}},
         1,
         50 * M,
         10 * M,
         0},
        {"more used than allowed",
         {MACHINE,
          CONTROLLERS,
          IN_GROUP,
          {TOP "/a/b/memory.high", "52428800\n"},
          {TOP "/a/b/memory.current", "99999999\n"}},
         1,
         50 * M,
         0,
         0},
        {"files not used lately can be taken",
         {MACHINE,
          CONTROLLERS,
          IN_GROUP,
          {TOP "/a/b/memory.max", "104857600\n"},
          {TOP "/a/b/memory.current", "104857600\n"},
          {TOP "/a/b/memory.stat",
           "anon 1\ninactive_anon 7\ninactive_file 20971520\nactive_file 9\n"}},
         1,
         100 * M,
         20 * M,
         0},
        {"a group above is tighter",
         {MACHINE,
          CONTROLLERS,
          IN_GROUP,
          {TOP "/a/b/memory.max", "104857600\n"},
          {TOP "/a/b/memory.current", "0\n"},
          {TOP "/a/memory.max", "83886080\n"},
          {TOP "/a/memory.current", "73400320\n"}},
         1,
         80 * M,
         10 * M,
         0},
        {"a container shows only its own part",
         {MACHINE,
          CONTROLLERS,
          {"/proc/self/cgroup", "5:cpu:/x\n0::/docker/0123\n"},
          {TOP "/memory.max", "104857600\n"},
          {TOP "/memory.current", "52428800\n"}},
         1,
         100 * M,
         50 * M,
         0},
        {"a path outside of the namespace",
         {MACHINE,
          CONTROLLERS,
          {"/proc/self/cgroup", "0::/../other\n"},
          {"/sys/fs/other/memory.max", "1048576\n"},
          {"/sys/fs/other/memory.current", "0\n"},
          {TOP "/memory.max", "104857600\n"},
          {TOP "/memory.current", "0\n"}},
         1,
         100 * M,
         100 * M,
         0},
        {"version 2 beside version 1",
         {MACHINE,
          IN_GROUP,
          {TOP "/unified/a/memory.max", "104857600\n"},
          {TOP "/unified/a/memory.current", "0\n"}},
         1,
         100 * M,
         100 * M,
         0},
        {"the group's pressure comes first",
         {MACHINE,
          CONTROLLERS,
          IN_GROUP,
          {TOP "/a/b/memory.pressure", "some avg10=3.5 avg60=0.00\n"},
          {TOP "/a/memory.pressure", "some avg10=99.00 avg60=0.00\n"},
          {"/proc/pressure/memory", "some avg10=50.00\n"}},
         1,
         1000 * M,
         500 * M,
         350},
        {"a limit larger than the machine",
         {MACHINE,
          CONTROLLERS,
          IN_GROUP,
          {TOP "/a/b/memory.max", "99999999999999\n"},
          {TOP "/a/b/memory.current", "0\n"}},
         1,
         1000 * M,
         500 * M,
         0},
        {"no limit at all",
         {MACHINE,
          CONTROLLERS,
          IN_GROUP,
          {TOP "/a/b/memory.max", "0\n"},
          {TOP "/a/b/memory.current", "0\n"}},
         1,
         0,
         0,
         0},
        {"a limit and no machine",
         {CONTROLLERS,
          IN_GROUP,
          {TOP "/a/b/memory.max", "1048576"},
          {TOP "/a/b/memory.current", "0"}},
         1,
         M,
         M,
         0},
        {"a limit and no usage",
         {MACHINE, CONTROLLERS, IN_GROUP, {TOP "/a/b/memory.max", "1048576\n"}},
         1,
         1000 * M,
         500 * M,
         0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm__os_memory memory = {7, 7, 7};
        fake_root_open();
        for (const file *f = cases[i].files; f->path; f++) {
            fake_root_file(f->path, f->text);
        }
        const int known = hm__os_memory_status(&memory);
        fake_root_close();
        CHECK_ROW(cases[i].label, known == cases[i].known);
        CHECK_ROW(cases[i].label, memory.limit == (known ? cases[i].limit : 7));
        CHECK_ROW(cases[i].label, memory.available == (known ? cases[i].available : 7));
        CHECK_ROW(cases[i].label, memory.stalled == (known ? cases[i].stalled : 7));
    }
}

/* Each of them ruins one file of a set that is otherwise whole; the figures are then the machine's, or none. */
static void os_memory__malformed_files(void **state)
{
    static const struct {
        const char *path;
        const char *text;
        int known;
        uint64_t limit;
        uint32_t stalled;
    } cases[] = {
        {"/proc/meminfo", "", 1, 100 * M, 200},
        {"/proc/meminfo", "MemTotal: much kB\nMemAvailable: 1 kB\n", 1, 100 * M, 200},
        {"/proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 2000 kB\n", 1, 100 * M, 200},
        {"/proc/meminfo", "MemTotal: 1 kB", 1, 100 * M, 200},
        {"/proc/self/cgroup", "0:", 1, 1000 * M, 100},
        {"/proc/self/cgroup", "0::", 1, 1000 * M, 100},
        {"/proc/self/cgroup", "0::a/b\n", 1, 1000 * M, 100},
        {"/proc/self/cgroup", "1:name=x:/a/b\n", 1, 1000 * M, 100},
        {TOP "/a/b/memory.max", "", 1, 1000 * M, 200},
        {TOP "/a/b/memory.max", "-1\n", 1, 1000 * M, 200},
        {TOP "/a/b/memory.max", "100M\n", 1, 1000 * M, 200},
        {TOP "/a/b/memory.max", "99999999999999999999999\n", 1, 1000 * M, 200},
        {TOP "/a/b/memory.current", "few\n", 1, 1000 * M, 200},
        {TOP "/a/b/memory.stat", "inactive_file\n", 1, 100 * M, 200},
        {TOP "/a/b/memory.stat", "inactive_file 99999999999999999\n", 1, 100 * M, 200},
        {TOP "/a/b/memory.pressure", "some", 1, 100 * M, 100},
        {TOP "/a/b/memory.pressure", "full avg10=2.00\n", 1, 100 * M, 100},
        {TOP "/a/b/memory.pressure", "some avg10=x\n", 1, 100 * M, 100},
        {TOP "/a/b/memory.pressure", "some avg10=7", 1, 100 * M, 700},
        {TOP "/a/b/memory.pressure", "some avg10=.5", 1, 100 * M, 100},
        {TOP "/a/b/memory.pressure", "some avg10=99999999999.9", 1, 100 * M, 10000},
    };
    static const file whole[] = {MACHINE,
                                 CONTROLLERS,
                                 IN_GROUP,
                                 {TOP "/a/b/memory.max", "104857600\n"},
                                 {TOP "/a/b/memory.current", "52428800\n"},
                                 {TOP "/a/b/memory.stat", "inactive_file 0\n"},
                                 {TOP "/a/b/memory.pressure", "some avg10=2.00\n"},
                                 {"/proc/pressure/memory", "some avg10=1.00\n"}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm__os_memory memory = {0, 0, 0};
        fake_root_open();
        for (size_t k = 0; k < COUNT(whole); k++) {
            fake_root_file(whole[k].path, whole[k].text);
        }
        fake_root_file(cases[i].path, cases[i].text);
        const int known = hm__os_memory_status(&memory);
        fake_root_close();
        CHECK_ROW(cases[i].text, known == cases[i].known);
        CHECK_ROW(cases[i].text, memory.limit == cases[i].limit);
        CHECK_ROW(cases[i].text, memory.available <= memory.limit);
        CHECK_ROW(cases[i].text, memory.stalled == cases[i].stalled);
    }
}

static void os_memory__paths_too_long(void **state)
{
    char line[4096] = "0::";
    hm__os_memory memory;
    (void)state;
    memset(line + 3, '/', 3000);
    fake_root_open();
    fake_root_file("/proc/self/cgroup", line);
    fake_root_file(TOP "/cgroup.controllers", "");
    fake_root_file(TOP "/memory.max", "1048576");
    fake_root_file(TOP "/memory.current", "0");
    const int known = hm__os_memory_status(&memory);
    char deep[2000];
    memset(deep, 'd', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    hm__os_memory_root(deep);
    const int unknown = hm__os_memory_status(&memory);
    fake_root_close();
    assert_int_equal(known, 1);
    assert_int_equal(unknown, 0);
}

static void os_memory__this_machine(void **state)
{
    hm__os_memory memory = {0, 0, 99999};
    (void)state;
    assert_int_equal(hm__os_memory_status(&memory), 1);
    assert_true(memory.limit > 0);
    assert_true(memory.available <= memory.limit);
    assert_true(memory.stalled <= 10000);
}

static void os_memory__block_size(void **state)
{
    (void)state;
    void *block = calloc(1, 100);
    assert_true(hm__os_block_size(block) >= 100);
    assert_int_equal(hm__os_block_size(NULL), 0);
    free(block);
}

static void os_memory__wait_ends(void **state)
{
    uint32_t word = 1;
    (void)state;
    const uint64_t start = hm__os_now_ns();
    hm__os_wait_for(&word, 0, 5000000000u); /* it is not 0: no sleep at all */
    assert_true(hm__os_now_ns() - start < 2000000000u);
    while (hm__os_now_ns() - start < 3000000) { /* a wait may end early */
        hm__os_wait_for(&word, 1, 3000000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(os_memory__figures),
        cmocka_unit_test(os_memory__malformed_files),
        cmocka_unit_test(os_memory__paths_too_long),
        cmocka_unit_test(os_memory__this_machine),
        cmocka_unit_test(os_memory__block_size),
        cmocka_unit_test(os_memory__wait_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
