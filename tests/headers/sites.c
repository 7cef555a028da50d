/* SPDX-License-Identifier: MIT */
/* A program that uses every allocating macro under leak finders' own malloc and free macros, and checks that
   each one reaches the malloc object with this file, its line and its function. Also compiled as C++, so it
   keeps to what both languages share. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HOSTILE_OBJECT_LIKE
#define malloc  hostile_malloc
#define calloc  hostile_calloc
#define realloc hostile_realloc
#define free    hostile_free
#define strdup  hostile_strdup
#else
#define malloc(size)         hostile_malloc(size, __FILE__, __LINE__)
#define calloc(count, size)  hostile_calloc(count, size, __FILE__, __LINE__)
#define realloc(block, size) hostile_realloc(block, size, __FILE__, __LINE__)
#define free(block)          hostile_free(block, __FILE__, __LINE__)
#define strdup(text)         hostile_strdup(text, __FILE__, __LINE__)
#endif

#include <hostmalloc/hostmalloc.h>

/* A malloc object that notes the last call it got. Its blocks are one array. */
static struct {
    const char *slot;
    hm_site *site;
    size_t size;
} last;

static union {
    char bytes[256];
    long double align;
} block;

static int failures;

static void *note(const char *slot, size_t size, hm_site *site)
{
    last.slot = slot;
    last.site = site;
    last.size = size;
    return block.bytes;
}

static void *recorder_alloc(hm_malloc *self, size_t size, hm_level level)
{
    (void)self, (void)level;
    return note("alloc", size, NULL);
}

static void recorder_free(hm_malloc *self, void *address)
{
    (void)self, (void)address;
    note("free", 0, NULL);
}

static void recorder_free_sized(hm_malloc *self, void *address, size_t size)
{
    (void)self, (void)address;
    note("free_sized", size, NULL);
}

static void *
recorder_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    (void)self, (void)level;
    return note("debug_alloc", size, site);
}

static hm_status recorder_debug_free(
    hm_malloc *self, void *address, size_t size, size_t alignment, hm_site *site)
{
    (void)self, (void)address, (void)alignment;
    note("debug_free", size, site);
    return HM_E_FREED;
}

static void *recorder_realloc(hm_malloc *self,
                              void *address,
                              size_t old_size,
                              size_t size,
                              hm_level level,
                              hm_site *site)
{
    (void)self, (void)address, (void)old_size, (void)level;
    return note("realloc", size, site);
}

static void *recorder_alloc_zeroed(
    hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    (void)self, (void)level;
    return note("alloc_zeroed", count * size, site);
}

static void *recorder_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    (void)self, (void)alignment, (void)level;
    return note("alloc_aligned", size, site);
}

static void fail(int line, const char *what, const char *got)
{
    fprintf(stderr, "%s:%d: %s, got \"%s\"\n", __FILE__, line, what, got);
    failures++;
}

static void expect(const char *slot, size_t size, int sited, int line)
{
    char text[256], place[300];
    hm_site_text(last.site, 1, text, sizeof text);
    snprintf(place, sizeof place, "%s:%d", __FILE__, line);
    if (strcmp(last.slot, slot) != 0 || last.size != size) {
        fail(line, slot, last.slot);
    }
    if (!sited) {
        if (last.site) {
            fail(line, "expected no site", text);
        }
    } else if (strncmp(text, place, strlen(place)) != 0 ||
               !strstr(text, "use_every_macro")) {
        fail(line, "expected this line and function", text);
    }
}

static void expect_status(hm_status got, hm_status want, int line)
{
    if (got != want) {
        fail(line, hm_status_name(want), hm_status_name(got));
    }
}

/* Each call stands on the line before the one that checks it. */
static void use_every_macro(hm_malloc *m, int debug)
{
    const char *const alloc_slot = debug ? "debug_alloc" : "alloc";
    const char *const free_slot = debug ? "debug_free" : "free";
    const char *const sized_slot = debug ? "debug_free" : "free_sized";
    const size_t unknown = debug ? HM_SIZE_UNKNOWN : 0;
    const hm_status verdict = debug ? HM_E_FREED : HM_OK;
    hm_status status;
    void *p;

    p = hm_alloc(m, 24);
    expect(alloc_slot, 24, debug, __LINE__ - 1);
    status = hm_free(m, p);
    expect(free_slot, unknown, debug, __LINE__ - 1);
    expect_status(status, verdict, __LINE__);
    status = hm_free_sized(m, p, 24);
    expect(sized_slot, 24, debug, __LINE__ - 1);
    expect_status(status, verdict, __LINE__);
    p = hm_realloc(m, p, 40);
    expect("realloc", 40, 1, __LINE__ - 1);
    p = hm_alloc_zeroed(m, 3, 8);
    expect("alloc_zeroed", 24, 1, __LINE__ - 1);
    p = hm_alloc_aligned(m, 48, 64);
    expect("alloc_aligned", 48, 1, __LINE__ - 1);
    p = hm_strdup(m, "text");
    expect(alloc_slot, 5, debug, __LINE__ - 1);
    if (!p || strcmp((const char *)p, "text") != 0) {
        fail(__LINE__, "expected a copy", p ? (const char *)p : "NULL");
    }
    expect_status(hm_free(m, NULL), HM_OK, __LINE__);

    /* In parentheses it is a function and the plain slot, whatever the object wants. */
    p = (hm_alloc)(m, 16);
    expect("alloc", 16, 0, __LINE__ - 1);

    /* They are expressions: one inside the other, in a condition, without braces. */
    if (hm_free(m, hm_alloc(m, 8)) == verdict)
        expect(free_slot, unknown, debug, __LINE__ - 1);
    else
        fail(__LINE__, "expected the verdict", "another status");

    /* The same line twice is the same site; another line is another. */
    hm_site *first = NULL;
    for (int i = 0; i < 2; i++) {
        hm_site *const here = HM_SITE;
        if (first && first != here) {
            fail(__LINE__, "expected one site for one line", "two");
        }
        first = here;
    }
    if (first == HM_SITE) {
        fail(__LINE__, "expected two sites for two lines", "one");
    }
}

int main(void)
{
    hm_malloc_vtbl vtbl;
    memset(&vtbl, 0, sizeof vtbl);
    vtbl.size = sizeof vtbl;
    vtbl.alloc = recorder_alloc;
    vtbl.free = recorder_free;
    vtbl.free_sized = recorder_free_sized;
    vtbl.debug_alloc = recorder_debug_alloc;
    vtbl.debug_free = recorder_debug_free;
    vtbl.realloc = recorder_realloc;
    vtbl.alloc_zeroed = recorder_alloc_zeroed;
    vtbl.alloc_aligned = recorder_alloc_aligned;

    hm_malloc m;
    m.vtbl = &vtbl;
    m.reserved = 0;
    m.flags = 0;
    use_every_macro(&m, 0);
    m.flags = HM_MALLOC_DEBUG;
    use_every_macro(&m, 1);

    if (hm_abi() != HM_ABI || strcmp(hm_version(), HM_VERSION) != 0) {
        fail(__LINE__, "expected the library of these headers, " HM_VERSION,
             hm_version());
    }
    return failures != 0;
}
