/* SPDX-License-Identifier: MIT */
/* The bridge under a real FreeType, on every host: a font of the test's own, with each allocation of its modules failing once. */
#include <hostmalloc/bridges/freetype.h>

#include "over_hosts.h"

/* Ten letters of eight by eight points. */
static size_t write_font(char *text, size_t size)
{
    size_t at =
        (size_t)snprintf(text, size,
                         "STARTFONT 2.1\nFONT -x-test-medium-r-normal--8-80-75-75-c-80-"
                         "iso10646-1\nSIZE 8 75 75\nFONTBOUNDINGBOX 8 8 0 0\n"
                         "STARTPROPERTIES 2\nFONT_ASCENT 8\nFONT_DESCENT 0\n"
                         "ENDPROPERTIES\nCHARS 10\n");
    for (int i = 0; i < 10; i++) {
        at += (size_t)snprintf(text + at, size - at,
                               "STARTCHAR c%d\nENCODING %d\nSWIDTH 500 0\nDWIDTH 8 0\n"
                               "BBX 8 8 0 0\nBITMAP\n",
                               i, 'a' + i);
        for (int row = 0; row < 8; row++) {
            at += (size_t)snprintf(text + at, size - at, "%02X\n",
                                   (i * 37 + row * 11) & 255);
        }
        at += (size_t)snprintf(text + at, size - at, "ENDCHAR\n");
    }
    return at + (size_t)snprintf(text + at, size - at, "ENDFONT\n");
}

static uint64_t draw(FT_Face face)
{
    uint64_t digest = WORK_DIGEST;
    for (FT_ULong letter = 'a'; letter <= 'j'; letter++) {
        if (FT_Load_Char(face, letter, FT_LOAD_RENDER) != 0) {
            return 0;
        }
        const FT_Bitmap *const bitmap = &face->glyph->bitmap;
        digest = work_digest(digest, bitmap->buffer,
                             (size_t)bitmap->rows * (size_t)abs(bitmap->pitch));
    }
    return digest;
}

static uint64_t work(hm_malloc *m)
{
    static char font[8192];
    const size_t size = write_font(font, sizeof(font));
    struct FT_MemoryRec_ memory;
    FT_Library library = NULL;
    FT_Face face;
    uint64_t digest = 0;
    int failed;
    if (m) {
        memory = hm_freetype_memory(m);
        failed = FT_New_Library(&memory, &library);
        if (!failed) {
            FT_Add_Default_Modules(library);
        }
    } else {
        failed = FT_Init_FreeType(&library);
    }
    if (failed) {
        return 0;
    }
    if (FT_New_Memory_Face(library, (const FT_Byte *)font, (FT_Long)size, 0, &face) ==
        0) {
        digest = draw(face);
        FT_Done_Face(face);
    }
    if (m) {
        FT_Done_Library(library);
    } else {
        FT_Done_FreeType(library);
    }
    return digest;
}

/* A library and its modules, nothing drawn. */
static uint64_t open_only(hm_malloc *m)
{
    struct FT_MemoryRec_ memory;
    FT_Library library;
    uint64_t digest = 1;
    if (m) {
        memory = hm_freetype_memory(m);
        if (FT_New_Library(&memory, &library) != 0) {
            return 0;
        }
        FT_Add_Default_Modules(library);
        digest = FT_Get_Module(library, "smooth") != NULL;
        FT_Done_Library(library);
    }
    return digest;
}

static void freetype__draws_as_ever(void **state)
{
    (void)state;
    assert_int_not_equal(work(NULL), 0);
    work_everywhere("modules", open_only, 0);
    /* Its reader of this kind of font, in 2.12, follows NULL where an allocation fails. */
    work_everywhere("glyphs", work, WORK_NOT_FAILED);
}

static void freetype__hostile_sizes(void **state)
{
    hm_host *host;
    hm_malloc *m;
    (void)state;
    assert_int_equal(hm_host_open("default", &host, NULL), HM_OK);
    assert_int_equal(hm_host_create_malloc(host, "sizes", 0, &m, NULL), HM_OK);
    assert_null(hm_freetype_alloc(m, 0));
    assert_null(hm_freetype_alloc(m, -1));
    void *const block = hm_freetype_realloc(m, 0, 10, NULL);
    assert_non_null(block);
    assert_null(hm_freetype_realloc(m, 10, -5, block));
    assert_null(hm_freetype_realloc(m, -10, 5, block));
    hm_freetype_free(m, block);
    hm_freetype_free(m, NULL);
    hm_malloc_release(m);
    hm_host_release(host);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(freetype__draws_as_ever),
                                              cmocka_unit_test(freetype__hostile_sizes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
