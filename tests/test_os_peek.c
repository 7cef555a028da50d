/* SPDX-License-Identifier: MIT */
/* Reading where nothing may be read is an answer, not a fault. */
#include "os_peek.h"

#include "check.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static void peek__reads_what_can_be_read(void **state)
{
    static const char from[512] = "a text of the program";
    char to[512];
    (void)state;
    for (size_t bytes = 1; bytes <= sizeof to; bytes *= 2) {
        memset(to, 'x', sizeof to);
        assert_int_equal(hm__os_peek(to, from, bytes), 1);
        assert_memory_equal(to, from, bytes);
    }
}

static void peek__refuses_what_cannot(void **state)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char to[16];
    (void)state;
    char *pages =
        mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(pages != MAP_FAILED);
    assert_int_equal(mprotect(pages + page, page, PROT_NONE), 0);
    assert_int_equal(munmap(pages + 2 * page, page), 0);
    errno = 77;
    assert_int_equal(hm__os_peek(to, pages + page - 16, 16), 1);
    assert_int_equal(hm__os_peek(to, pages + page - 15, 16), 0);
    assert_int_equal(hm__os_peek(to, pages + page, 16), 0);
    assert_int_equal(hm__os_peek(to, pages + 2 * page, 16), 0);
    assert_int_equal(hm__os_peek(to, NULL, 1), 0);
    assert_int_equal(hm__os_peek(to, (void *)UINTPTR_MAX, 1), 0);
    assert_int_equal(errno, 77);
    munmap(pages, 2 * page);
}

static void peek__cannot_tell_without_descriptors(void **state)
{
    struct rlimit kept, none;
    char to[16];
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &kept), 0);
    none = kept;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    const int done = hm__os_peek(to, "sixteen letters.", sizeof to);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &kept), 0);
    assert_int_equal(done, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peek__reads_what_can_be_read),
        cmocka_unit_test(peek__refuses_what_cannot),
        cmocka_unit_test(peek__cannot_tell_without_descriptors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
