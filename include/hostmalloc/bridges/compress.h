/* SPDX-License-Identifier: MIT */
/**
 * @file compress.h
 * @brief The bridge to zlib, bzip2, xz, brotli, zstd and lz4 frames: streams that take their memory from a malloc.
 *
 *     #include <zlib.h>                    whichever of the libraries is used, before this header
 *     #include <hostmalloc/bridges/compress.h>
 *     z_stream stream = {0};
 *     hm_zlib_use(&stream, m);
 *     deflateInit(&stream, 9);
 *
 * Scope of the hook: one stream, context or instance; each may have a malloc of its own.
 * Window: its creation.
 * What the libraries do not tell: sizes at the free, and what a block is for.
 *
 * The malloc is the hook's user data and stays the caller's: it must outlive the stream. A stream whose
 * malloc has a limit answers Z_MEM_ERROR, BZ_MEM_ERROR, LZMA_MEM_ERROR and so on; brotli's encoder
 * ends the process, unless it was built otherwise. zstd with worker threads wants a
 * HM_MALLOC_THREADSAFE malloc; its functions and those of lz4 frames are in their static libraries' interface
 * (ZSTD_STATIC_LINKING_ONLY, LZ4F_STATIC_LINKING_ONLY).
 * Stable since 1.0.
 */
#ifndef HM_BRIDGES_COMPRESS_H
#define HM_BRIDGES_COMPRESS_H

#include <hostmalloc/malloc.h>

HM_BEGIN_DECLS

/* The hooks, for what the functions below do not cover; `m` is a hm_malloc. Products of sizes are checked.
   brotli takes its two as arguments: BrotliEncoderCreateInstance(hm_brotli_alloc, hm_compress_free, m).
   @threads as the malloc's */
void *hm_zlib_alloc(void *m, unsigned count, unsigned size);
void *hm_bzip2_alloc(void *m, int count, int size);
void *hm_xz_alloc(void *m, size_t count, size_t size);
void *hm_brotli_alloc(void *m, size_t size);
void *hm_zstd_alloc(void *m, size_t size);
void *hm_lz4_alloc(void *m, size_t size);
void *hm_lz4_alloc_zeroed(void *m, size_t size);
/** The free of all of them. */
void hm_compress_free(void *m, void *block);

HM_END_DECLS

#ifdef ZLIB_VERSION
/** Before deflateInit(), inflateInit() and their relatives. */
static inline void hm_zlib_use(z_stream *stream, hm_malloc *m)
{
    stream->zalloc = hm_zlib_alloc;
    stream->zfree = hm_compress_free;
    stream->opaque = m;
}
#endif

#ifdef BZ_OK
/** Before BZ2_bzCompressInit() and BZ2_bzDecompressInit(). */
static inline void hm_bzip2_use(bz_stream *stream, hm_malloc *m)
{
    stream->bzalloc = hm_bzip2_alloc;
    stream->bzfree = hm_compress_free;
    stream->opaque = m;
}
#endif

#ifdef LZMA_VERSION
/** For lzma_stream.allocator and the functions that take one; must outlive the stream. */
static inline lzma_allocator hm_xz_allocator(hm_malloc *m)
{
    const lzma_allocator made = {hm_xz_alloc, hm_compress_free, m};
    return made;
}
#endif

#if defined(ZSTD_VERSION_NUMBER) && defined(ZSTD_STATIC_LINKING_ONLY)
/** For ZSTD_createCCtx_advanced() and the others. */
static inline ZSTD_customMem hm_zstd_mem(hm_malloc *m)
{
    const ZSTD_customMem made = {hm_zstd_alloc, hm_compress_free, m};
    return made;
}
#endif

#ifdef LZ4F_STATIC_LINKING_ONLY
/** For LZ4F_createCompressionContext_advanced() and the others. */
static inline LZ4F_CustomMem hm_lz4_mem(hm_malloc *m)
{
    const LZ4F_CustomMem made = {hm_lz4_alloc, hm_lz4_alloc_zeroed, hm_compress_free, m};
    return made;
}
#endif

#endif
