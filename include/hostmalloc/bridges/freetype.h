/* SPDX-License-Identifier: MIT */
/**
 * @file freetype.h
 * @brief The bridge to FreeType 2: a library object, its faces and glyphs, from a malloc.
 *
 *     struct FT_MemoryRec_ memory = hm_freetype_memory(m);      must outlive the library
 *     FT_New_Library(&memory, &library);
 *     FT_Add_Default_Modules(library);
 *     ... FT_New_Face() as ever, at the end FT_Done_Library(library) ...
 *
 * Scope of the hook: one FT_Library; each may have a malloc of its own, for one thread.
 * Window: its creation.
 * What FreeType does not tell: sizes at the free, and who asks. At a realloc it tells the old size, exactly, which a debug
 * host verifies.
 *
 * The malloc stays the caller's and must outlive the library. A refused allocation is FT_Err_Out_Of_Memory.
 * Stable since 1.0.
 */
#ifndef HM_BRIDGES_FREETYPE_H
#define HM_BRIDGES_FREETYPE_H

#include <hostmalloc/malloc.h>

HM_BEGIN_DECLS

/* The hooks without FreeType's types. Sizes of 0 and less: NULL. @threads as the malloc's */
void *hm_freetype_alloc(hm_malloc *m, long size);
void *hm_freetype_realloc(hm_malloc *m, long old_size, long size, void *block);
void hm_freetype_free(hm_malloc *m, void *block);

HM_END_DECLS

#ifndef HM_BRIDGE_PLAIN

#include <ft2build.h>
#include FT_FREETYPE_H
#include FT_MODULE_H
#include FT_SYSTEM_H

static inline void *hm__freetype_alloc(FT_Memory memory, long size)
{
    return hm_freetype_alloc((hm_malloc *)memory->user, size);
}

static inline void hm__freetype_free(FT_Memory memory, void *block)
{
    hm_freetype_free((hm_malloc *)memory->user, block);
}

static inline void *
hm__freetype_realloc(FT_Memory memory, long old_size, long size, void *block)
{
    return hm_freetype_realloc((hm_malloc *)memory->user, old_size, size, block);
}

/** For FT_New_Library(). @threads any */
static inline struct FT_MemoryRec_ hm_freetype_memory(hm_malloc *m)
{
    const struct FT_MemoryRec_ made = {m, hm__freetype_alloc, hm__freetype_free,
                                       hm__freetype_realloc};
    return made;
}

#endif

#endif
